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
complete -c svc-route -l via -d 'The proxy' -r -f -a "nginx\t'A file with the upstream, checked and reloaded'
haproxy\t'The runtime API'
caddy\t'The admin API'
traefik\t'A file of the file provider'"
complete -c svc-route -l slot -d 'A slot and where it listens; repeat it' -r
complete -c svc-route -l to -d 'Give this slot the traffic, all of it or WEIGHT percent; `idle` is the one without' -r -f -a '(__cutover_values slots)'
complete -c svc-route -l steps -d 'Move the traffic step by step, with the gate after each' -r
complete -c svc-route -l gate -d 'The command that must succeed after each move (sh -c); exit 3 is the release\'s own no' -r
complete -c svc-route -l gate-timeout -d 'How long the gate may take' -r
complete -c svc-route -l pause -d 'How long to wait between steps, before the gate is asked' -r
complete -c svc-route -l drain -d 'How long the slot that lost its traffic may take to finish what it began' -r
complete -c svc-route -l timeout -d 'How long the proxy may take to serve the change' -r
complete -c svc-route -l config -d 'nginx, traefik: the file that holds this upstream or service, and nothing else' -r -F
complete -c svc-route -l upstream -d 'nginx: the name of the upstream; traefik: of the service' -r
complete -c svc-route -l test -d 'nginx: the command that checks the configuration [default: nginx -t -q]' -r
complete -c svc-route -l reload -d 'nginx: the command that loads it [default: nginx -s reload]' -r
complete -c svc-route -l pidfile -d 'nginx: the pid file of its master process [default: /run/nginx.pid]' -r -F
complete -c svc-route -l socket -d 'haproxy: the socket of its runtime API, level admin' -r -F
complete -c svc-route -l backend -d 'haproxy: the backend, whose servers are named like the slots' -r
complete -c svc-route -l state-file -d 'haproxy: write the servers\' state here after each change, for load-server-state-from-file' -r -F
complete -c svc-route -l admin -d 'caddy, traefik: the address of the admin API: HOST:PORT or unix:/PATH' -r
complete -c svc-route -l handler -d 'caddy: the @id of the reverse_proxy handler' -r
complete -c svc-route -l root -d 'The root: the directory with releases/, shared/ and the link [env: CUTOVER_ROOT]' -r -F
complete -c svc-route -l link -d 'The link that says which release is live [env: CUTOVER_LINK] [default: current]' -r -f -a '(__cutover_values links)'
complete -c svc-route -l lock-wait -d 'How long to wait for a lock that somebody else holds; 0s asks once' -r
complete -c svc-route -l report -d 'Write this stage\'s entry whole to FILE, however long its lists are' -r -F
complete -c svc-route -l color -d 'Colours on stderr, and on the terminal where a tool prints a table' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'Always'
never\t'Never'"
complete -c svc-route -l pick -d 'Put the live and the idle slot into the record, for {live} and {idle} in later stages'
complete -c svc-route -l show -d 'Show which slot has how much traffic'
complete -c svc-route -l undo -d 'Behind a failed pipe, give every slot the traffic it had before'
complete -c svc-route -l standby -d 'nginx: let a slot without traffic stand by, for when no other answers'
complete -c svc-route -l dry-run -d 'Only plan: lock and write nothing; makes all later stages of the pipe plan too'
complete -c svc-route -s n -l no-record -d 'Read no record from stdin: run alone, or begin a pipe'
complete -c svc-route -l allow-network-fs -d 'Work on NFS, CIFS and FUSE too, where locks and renames may not hold what is promised'
complete -c svc-route -s q -l quiet -d 'Say nothing on stderr but errors'
complete -c svc-route -s v -l verbose -d 'Say more on stderr'
complete -c svc-route -l schema -d 'Print the JSON Schema of the record and exit'
complete -c svc-route -s h -l help -d 'Print help (see more with \'--help\')'
complete -c svc-route -s V -l version -d 'Print version'
