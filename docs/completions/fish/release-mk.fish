# What lies on disk decides: ids, links, instances, slots. Prints candidates, one on a line.
function __cutover_values
    set -l root $CUTOVER_ROOT
    set -l via systemd
    set -l slots
    set -l words (commandline -opc)
    for i in (seq 2 (count $words))
        set -l next $words[(math $i + 1)]
        switch $words[$i]
            case --root
                set root (string replace -r '^~' $HOME -- $next)
            case '--root=*'
                set root (string replace -r '^--root=' '' -- $words[$i] | string replace -r '^~' $HOME)
            case --via
                set via $next
            case '--via=*'
                set via (string replace -- --via= '' $words[$i])
            case --slot
                set -a slots (string split -f 1 = -- $next)
            case '--slot=*'
                set -a slots (string split -f 2 = -- $words[$i])
        end
    end
    switch $argv[1]
        case releases
            command ls -- $root/releases 2>/dev/null
        case failed
            command ls -- $root/.cutover/staging 2>/dev/null | string replace -r '\.[^.]*$' ''
        case links
            for link in $root/*
                test -L $link; and string match -q 'releases/*' -- (readlink -- $link); and path basename $link
            end
        case instances
            # Those of the last run, and what systemd has.
            string match -ra '"instances":\[[^]]*\]' <$root/.cutover/run.json 2>/dev/null | string match -ra '(?<="name":")[^"]*'
            test "$via" = systemd
            and systemctl list-units --all --type=service --plain --no-legend --no-pager 2>/dev/null | string replace -r '\.service .*' ''
        case slots
            printf '%s\n' $slots idle
    end
end
complete -c release-mk -l from -d 'Where the release comes from: a directory, a file, a .tar[.gz|.zst|.xz] or .zip archive, or - for a tar stream on stdin' -r -F
complete -c release-mk -l ref -d 'Take SOURCE for a git repository, local or at an ssh, https or file URL, and REF for the branch, tag or commit of it' -r
complete -c release-mk -l name -d 'Name the release; by default UTC time and number, as 20261121T071000Z-12' -r
complete -c release-mk -l exclude -d 'Leave out what matches: at any depth, or anchored at the top if there is a slash in it; repeatable' -r
complete -c release-mk -l step -d 'Run COMMAND in the tree with /bin/sh; it sees RELEASE_ID, RELEASE_ROOT, RELEASE_STAGING, RELEASE_PATH and, from git, RELEASE_REF and RELEASE_REVISION; what it leaves running is ended; repeatable, in order' -r
complete -c release-mk -l artifact -d 'Keep only what matches of what was built, with what --share and --stamp add; repeatable' -r
complete -c release-mk -l resume -d 'Go on with this unfinished build, from its first unfinished step; all other options as before; --name may be left out' -r -f -a '(__cutover_values failed)'
complete -c release-mk -l share -d 'Link PATH to shared/PATH: with a trailing slash a directory, made if missing, else a file that must exist; repeatable' -r
complete -c release-mk -l mode -d 'The mode of directories that --share makes' -r
complete -c release-mk -l owner -d 'The owner of directories that --share makes, where uid 0 makes them' -r
complete -c release-mk -l require-env -d 'Refuse unless FILE, relative to the root, sets each VAR to something; values are never shown; repeatable' -r
complete -c release-mk -l keep-days -d 'Pin the release that is made for N days, whatever becomes of it' -r
complete -c release-mk -l reason -d 'Why it is pinned' -r
complete -c release-mk -l stamp -d 'Write id and time, and from git repository, reference and revision, into this file of the release' -r -F
complete -c release-mk -l min-free -d 'Refuse unless so much stays free on the disk; with an archive, a repository, --link-unchanged or --resume, unless so much is free before' -r
complete -c release-mk -l sha256 -d 'Refuse unless the archive or file has this SHA-256 digest' -r
complete -c release-mk -l max-bytes -d 'Refuse a source with more in its files; an archive or a repository with more than 32G in any case' -r
complete -c release-mk -l max-files -d 'Refuse a source of more entries; an archive or a repository of more than 1000000 in any case' -r
complete -c release-mk -l root -d 'The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]' -r -F
complete -c release-mk -l link -d 'The link that says which release is live [env: CUTOVER_LINK] [default: current]' -r -f -a '(__cutover_values links)'
complete -c release-mk -l lock-wait -d 'How long to wait for a lock that somebody else holds; 0s asks once' -r
complete -c release-mk -l report -d 'Write this stage\'s entry whole to FILE, however long its lists are' -r -F
complete -c release-mk -l color -d 'Colours on stderr, and on the terminal where a tool prints a table' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c release-mk -l submodules -d 'With --ref: fetch the submodules of that commit too; without it their directories stay empty'
complete -c release-mk -l if-changed -d 'Build only if the source or the options that change the release differ from the live one\'s; an archive can be compared with builds made with this option or --sha256'
complete -c release-mk -l force -d 'With --if-changed: build in any case'
complete -c release-mk -l skip-bad -d 'With --if-changed: pass over, without failing, a source that made a bad release'
complete -c release-mk -l link-unchanged -d 'Hard links to the live release\'s files, to 450,000 at most, where size, time and mode are the same; then never write into a release in place'
complete -c release-mk -l allow-external-symlinks -d 'Take symlinks of an archive or a repository that are absolute or lead out of the tree; a directory\'s are always kept as they are'
complete -c release-mk -l dry-run -d 'Only plan: lock and write nothing; makes all later stages of the pipe plan too'
complete -c release-mk -s n -l no-record -d 'Read no record from stdin: run alone, or begin a pipe'
complete -c release-mk -l allow-network-fs -d 'Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised'
complete -c release-mk -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c release-mk -s v -l verbose -d 'Say more on stderr'
complete -c release-mk -l schema -d 'Print the JSON Schema of the record and exit'
complete -c release-mk -s h -l help -d 'Print help (see more with \'--help\')'
complete -c release-mk -s V -l version -d 'Print version'
