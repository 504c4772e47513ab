//! The recipe pull where the backends are services of a compose project, on a real Docker engine behind a real HAProxy.

use std::fs;
use std::time::Duration;

use stories::real::docker::Docker;
use stories::real::managers::compose_project;
use stories::running::until;
use stories::{Pipe, Shop, binaries, skip};

use crate::blue_green::{asked_where, lost_nothing};
use crate::pull::{balancer, commit};

/// The services are named by their ports, as the recipe's health question wants it.
fn name(shop: &Shop, i: u32) -> String {
    shop.services().port(i).to_string()
}

#[test]
fn services_of_a_project_are_pulled_one_after_the_other() {
    for program in ["git", "haproxy", "socat", "curl"] {
        if !skip::has(program) {
            skip!("{program} is not installed");
        }
    }
    let shop = Shop::new();
    let docker = match Docker::start(&shop) {
        Ok(docker) => docker,
        Err(why) => skip!("{why}"),
    };
    let file = shop.path().join("compose.yml");
    fs::write(&file, compose_project(&shop, 2, |i| name(&shop, i))).expect("write the project");
    let enter = docker.enter(&shop);
    let recipes = binaries::workspace().join("scripts/recipes");
    let within = |script: String| -> Pipe {
        shop.pipe(script)
            .under(enter.iter().cloned())
            .env("DOCKER_HOST", docker.host())
            .env("CUTOVER_ROOT", shop.root().display().to_string())
            .env("REPOSITORY", shop.path().join("repository").display().to_string())
            .env("VIA", "compose")
            .env("COMPOSE_FILE", file.display().to_string())
            .env("INSTANCES", format!("{} {}", name(&shop, 1), name(&shop, 2)))
            .env("WAIT", "20s")
            .deadline(Duration::from_secs(240))
    };
    let pull = || within(recipes.join("pull").display().to_string());
    shop.pipe("git init -q -b main repository").run().exits(0);
    commit(&shop, "v1", "ok");
    pull().run().exits(0);

    let haproxy = within(balancer(&shop, |i| name(&shop, i)).join(" ")).start();
    let answers = format!("curl -sf --max-time 2 http://127.0.0.1:{}/", shop.services().port(4));
    let version = || within(answers.clone()).run().stdout.split(' ').next().unwrap_or_default().to_owned();
    until("HAProxy serves", || version() == "v1");
    let balanced = || {
        let admin = shop.path().join("admin.sock").display().to_string();
        pull().env("BALANCE", recipes.join("rolling").display().to_string()).env("BALANCER", admin)
    };
    commit(&shop, "v2", "ok");
    let (run, seen) = asked_where(&enter, &shop, ["v1", "v2"], || balanced().run());
    run.exits(0);
    lost_nothing("pull with compose", &seen);
    assert!(seen.contains("v1 true v2 true"), "{seen}");
    assert_eq!(pull().run().exits(0).record()["changed"], false, "{run}");

    commit(&shop, "v3", "500");
    let (run, seen) = asked_where(&enter, &shop, ["v2", "v3"], || balanced().env("WAIT", "8s").run());
    assert_eq!(run.exits(3).record()["error"]["blame"], "release", "{run}");
    lost_nothing("pull with compose and a bad version", &seen);
    assert!(seen.contains("v2 true v3 false"), "{seen}");
    assert_eq!(pull().run().exits(0).record()["changed"], false, "a bad one is not tried again: {run}");
    assert_eq!(version(), "v2");
    drop(haproxy);
}
