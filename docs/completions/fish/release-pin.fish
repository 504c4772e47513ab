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
complete -c release-pin -l for -d 'Keep it for so long from now on' -r
complete -c release-pin -l reason -d 'Why; needed for a new pin, kept for one that is only made longer or shorter' -r
complete -c release-pin -l root -d 'The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]' -r -F
complete -c release-pin -l link -d 'The link that says which release is live [env: CUTOVER_LINK] [default: current]' -r -f -a '(__cutover_values links)'
complete -c release-pin -l lock-wait -d 'How long to wait for a lock that somebody else holds; 0s asks once' -r
complete -c release-pin -l report -d 'Write this stage\'s entry whole to FILE, however long its lists are' -r -F
complete -c release-pin -l color -d 'Colours on stderr, and on the terminal where a tool prints a table' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c release-pin -l remove -d 'Take the pin away'
complete -c release-pin -l list -d 'List the pins, on stderr as a table and in the record'
complete -c release-pin -l dry-run -d 'Only plan: lock and write nothing; makes all later stages of the pipe plan too'
complete -c release-pin -s n -l no-record -d 'Read no record from stdin: run alone, or begin a pipe'
complete -c release-pin -l allow-network-fs -d 'Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised'
complete -c release-pin -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c release-pin -s v -l verbose -d 'Say more on stderr'
complete -c release-pin -l schema -d 'Print the JSON Schema of the record and exit'
complete -c release-pin -s h -l help -d 'Print help (see more with \'--help\')'
complete -c release-pin -s V -l version -d 'Print version'
complete -c release-pin -f -a '(__cutover_values releases)'
