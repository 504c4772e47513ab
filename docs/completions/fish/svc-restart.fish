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
complete -c svc-restart -l via -d 'What supervises them' -r -f -a "systemd\t'systemd units'
supervisor\t'supervisor programs, GROUP:NAME or a whole GROUP'
upstart\t'Upstart jobs'
compose\t'services of a compose project'
signal\t'processes with a pid file, which take up a release at a signal'
exec\t'anything with commands'"
complete -c svc-restart -l action -d 'What to do to them [default: restart]' -r -f -a "restart\t'a new process'
reload\t'the manager\'s own reload'
start\t'start what is stopped'
stop\t'stop what runs'"
complete -c svc-restart -l command -d 'For exec: the command of an action (restart, reload, start, stop), or of status, which prints the process number or exits with 0 while the instance runs and with 3 while it does not; repeatable' -r
complete -c svc-restart -l pidfile -d 'For signal and exec: the file in which an instance writes its process number; refused where others than root and the process\'s own user may write it' -r
complete -c svc-restart -l signals -d 'For signal: what is sent and waited for, as HUP or USR2,wait-new,WINCH,TERM; durations wait. A stop is TERM, unless these signals only end the process' -r
complete -c svc-restart -l socket -d 'For supervisor: its socket [default: /run/supervisor.sock]' -r -F
complete -c svc-restart -l compose-file -d 'For compose: a file of the project; repeatable' -r -F
complete -c svc-restart -l project -d 'For compose: the project\'s name' -r
complete -c svc-restart -l instance-key -d 'For upstart: the variable that tells a job\'s instances apart, set to {i}' -r
complete -c svc-restart -l as -d 'Put this before the commands of the manager, as \'sudo -n\'' -r
complete -c svc-restart -l batch -d 'How many at a time: 2, 25% or steps as 10%,40%,100%' -r
complete -c svc-restart -l gate -d 'A command (sh -c) that must succeed after each batch; once per instance if it names one' -r
complete -c svc-restart -l gate-timeout -d 'How long a gate may take' -r
complete -c svc-restart -l before -d 'A command before each instance: out of the balancer; if it fails the instance is not touched' -r
complete -c svc-restart -l after -d 'A command after each instance, behind the gate: into the balancer; runs when the instance failed too, and finds that in CUTOVER_OUTCOME' -r
complete -c svc-restart -l pause -d 'Wait so long between batches' -r
complete -c svc-restart -l stable -d 'A new process must stay up so long, the time of the gate included [default: 300ms; 0s where the manager waits for readiness]' -r
complete -c svc-restart -l timeout -d 'How long an action of the manager may take, and a hook; a question to it no longer than that, and 20s at most' -r
complete -c svc-restart -l require -d 'A target of svc-health that must be healthy before anything is touched; repeatable' -r
complete -c svc-restart -l hold-for -d 'Refuse a promotion that comes later than this' -r
complete -c svc-restart -l promote -d 'Go on with the held record in FILE' -r -F
complete -c svc-restart -l abort -d 'Turn the held record in FILE into a failed one, for the undo stages behind' -r -F
complete -c svc-restart -l root -d 'The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]' -r -F
complete -c svc-restart -l link -d 'The link that says which release is live [env: CUTOVER_LINK] [default: current]' -r -f -a '(__cutover_values links)'
complete -c svc-restart -l lock-wait -d 'How long to wait for a lock that somebody else holds; 0s asks once' -r
complete -c svc-restart -l report -d 'Write this stage\'s entry whole to FILE, however long its lists are' -r -F
complete -c svc-restart -l color -d 'Colours on stderr, and on the terminal where a tool prints a table' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c svc-restart -l user -d 'For systemd: the caller\'s own units'
complete -c svc-restart -l parallel -d 'Take the instances of a batch at the same time'
complete -c svc-restart -l best-effort -d 'A failure is a warning: the run ends there, and the pipe goes on'
complete -c svc-restart -l hold -d 'Stop behind the first batch and wait for a promotion'
complete -c svc-restart -l undo -d 'Behind a failed record take back what this pipe\'s svc-restart changed; pass a good record on'
complete -c svc-restart -l status -d 'Tell where the last run under --root left each instance'
complete -c svc-restart -l dry-run -d 'Only plan: lock and write nothing; makes all later stages of the pipe plan too'
complete -c svc-restart -s n -l no-record -d 'Read no record from stdin: run alone, or begin a pipe'
complete -c svc-restart -l allow-network-fs -d 'Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised'
complete -c svc-restart -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c svc-restart -s v -l verbose -d 'Say more on stderr'
complete -c svc-restart -l schema -d 'Print the JSON Schema of the record and exit'
complete -c svc-restart -s h -l help -d 'Print help (see more with \'--help\')'
complete -c svc-restart -s V -l version -d 'Print version'
complete -c svc-restart -f -a '(__cutover_values instances)'
