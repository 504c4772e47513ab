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
complete -c svc-health -l wait -d 'Wait so long for all to become healthy; without it the first decision stands' -r
complete -c svc-health -l interval -d 'From the begin of one attempt to the next; within the first 2s of a wait they come every 5 ms' -r
complete -c svc-health -l timeout -d 'Give an attempt up after so long; the next one never begins before that' -r
complete -c svc-health -l stable -d 'Healthy is what passes for so long without a break' -r
complete -c svc-health -l passes -d 'Healthy is what passes so often in a row' -r
complete -c svc-health -l fails -d 'Unhealthy is what fails so often in a row; without --wait, so often in all' -r
complete -c svc-health -l expect-status -d 'Statuses that pass, as 200-299,401 [default: 200-299]' -r
complete -c svc-health -l expect-body -d 'The body contains TEXT, or matches /REGEX/; repeatable' -r
complete -c svc-health -l expect-header -d 'The answer has this field, with a value that contains TEXT or matches /REGEX/; repeatable' -r
complete -c svc-health -l header -d 'Send this field; @FILE instead of the value reads it from there, so that it is never seen; repeatable' -r
complete -c svc-health -l ca -d 'Believe only the certificate authorities in this PEM file' -r -F
complete -c svc-health -l parallel -d 'Ask at most so many targets at the same time' -r
complete -c svc-health -l on-change -d 'Append a line to FILE when a target\'s state is another one than its last line there says, and print only that' -r -F
complete -c svc-health -l root -d 'The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]' -r -F
complete -c svc-health -l link -d 'The link that says which release is live [env: CUTOVER_LINK] [default: current]' -r -f -a '(__cutover_values links)'
complete -c svc-health -l lock-wait -d 'How long to wait for a lock that somebody else holds; 0s asks once' -r
complete -c svc-health -l report -d 'Write this stage\'s entry whole to FILE, however long its lists are' -r -F
complete -c svc-health -l color -d 'Colours on stderr, and on the terminal where a tool prints a table' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c svc-health -l expect-release -d 'Whoever answers runs from the record\'s release; in a gate from CUTOVER_RELEASE_PATH; alone from what --root and --link name'
complete -c svc-health -l insecure -d 'Believe any certificate'
complete -c svc-health -l nagios -d 'Answer as a monitoring plugin: one line instead of the record, and 0, 1, 2 or 3 as exit status'
complete -c svc-health -l dry-run -d 'Only plan: lock and write nothing; makes all later stages of the pipe plan too'
complete -c svc-health -s n -l no-record -d 'Read no record from stdin: run alone, or begin a pipe'
complete -c svc-health -l allow-network-fs -d 'Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised'
complete -c svc-health -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c svc-health -s v -l verbose -d 'Say more on stderr'
complete -c svc-health -l schema -d 'Print the JSON Schema of the record and exit'
complete -c svc-health -s h -l help -d 'Print help (see more with \'--help\')'
complete -c svc-health -s V -l version -d 'Print version'
