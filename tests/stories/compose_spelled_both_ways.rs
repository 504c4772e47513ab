//! `docker compose` where there is one, else `docker-compose`; only the service that was named, and its health check is waited
//! for. Doubles of both, which say what the real ones do: a real engine is in every_manager.

use stories::{Pipe, Shop};

/// Notes what it is asked for. A container made by `up` is `starting` for two questions, then what the file `end` says.
const COMPOSE: &str = r#"echo "$0 $*" | sed 's|.*/||' >>$HOME/asked
while [ "${1#--}" != "$1" ]; do shift 2; done
case $1 in
config) printf 'web\ndb\n' ;;
ps) cat $HOME/container 2>/dev/null ;;
up) echo "c$(wc -l <$HOME/asked)" >$HOME/container; echo 0 >$HOME/questions ;;
stop) rm -f $HOME/container ;;
esac"#;

const INSPECT: &str = r#"n=$(cat $HOME/questions); echo $((n + 1)) >$HOME/questions
health=starting; [ $n -lt 2 ] || health=$(cat $HOME/end)
printf '[{"Id":"%s","State":{"Status":"running","Pid":0,"StartedAt":"x","Health":{"Status":"%s"}}}]\n' "$2" "$health""#;

fn shop(end: &str, has_new_spelling: bool) -> Shop {
    let shop = Shop::new();
    std::fs::create_dir(shop.path().join("bin")).expect("make a directory for programs");
    let compose =
        if has_new_spelling { "shift; [ $1 = version ] || exec $HOME/bin/docker-compose new \"$@\"" } else { "exit 1" };
    // Without the plug-in docker knows no such command.
    shop.program("docker", &format!("case $1 in compose) {compose} ;; inspect) {INSPECT} ;; esac"));
    let compose = COMPOSE.replace("while", "[ \"$1\" != new ] || shift\nwhile");
    shop.program("docker-compose", &compose);
    shop.write("end", end);
    shop
}

fn pipe(shop: &Shop, script: &str) -> Pipe {
    let path = format!("{}/bin:{}:/usr/bin:/bin", shop.path().display(), stories::binaries::directory().display());
    shop.pipe(script).env("PATH", path)
}

#[test]
fn a_health_check_is_waited_for_and_its_no_is_the_releases() {
    for has_new_spelling in [true, false] {
        let well = shop("healthy", has_new_spelling);
        let run = pipe(&well, "svc-restart -n --via compose --project shop web").run();
        assert_eq!(run.exits(0).record()["stages"][0]["instances"][0]["outcome"], "started", "{run}");
        let asked = std::fs::read_to_string(well.path().join("asked")).expect("read what was asked");
        let spelled = if has_new_spelling { "docker-compose new " } else { "docker-compose " };
        let up = format!("{spelled}--project-name shop up -d --no-deps --force-recreate web");
        assert_eq!(asked.lines().filter(|line| line.contains(" up ")).collect::<Vec<_>>(), [up], "{asked}");
        let again = pipe(&well, "svc-restart -n --via compose --project shop web").run();
        assert_eq!(again.exits(0).record()["stages"][0]["instances"][0]["outcome"], "restarted", "{again}");

        let ill = shop("unhealthy", has_new_spelling);
        let run = pipe(&ill, "svc-restart -n --via compose --project shop web").run();
        let record = run.exits(3).says("its health check says unhealthy").record();
        assert_eq!((record.code(), &record["error"]["blame"]), ("restart.down", &"release".into()), "{run}");

        let late = shop("starting", has_new_spelling);
        let run = pipe(&late, "svc-restart -n --via compose --project shop web --timeout 2s").run();
        assert_ne!(run.status, 0, "{run}");
        assert!(run.stderr.contains("ready in time") || run.stderr.contains("come up in time"), "{run}");
    }
}
