//! Names nobody should believe: refused with the documented status, nothing made, one line that says why.

use stories::Shop;

/// Shell words for names, and what they are.
const NAMES: [(&str, &str); 15] = [
    ("''", "empty"),
    (".", "the directory"),
    ("..", "its parent"),
    ("../x", "climbing"),
    ("/etc", "absolute"),
    ("a/b", "two parts"),
    ("-rf", "an option"),
    ("\"$(printf 'a\\nb')\"", "a line feed"),
    ("\"$(printf 'a\\033[2Jb')\"", "an escape"),
    ("\"$(printf '%0129d' 0)\"", "129 bytes"),
    ("\"$(printf 'a\\377b')\"", "no UTF-8"),
    ("\"$(printf 'a\\342\\200\\256b')\"", "text turned around"),
    (".cutover", "our state"),
    ("'a b'", "a space"),
    ("'$(touch ran)'", "a command"),
];

fn shop() -> Shop {
    let shop = Shop::new();
    shop.deploy_well("v1");
    shop.deploy_well("v2");
    shop
}

#[test]
fn a_hostile_name_is_refused_wherever_a_name_is_taken() {
    let shop = shop();
    for (name, what) in NAMES {
        for command in [
            format!("release-mk --root $ROOT --from v1 --name={name}"),
            format!("release-switch --root $ROOT --to={name}"),
            format!("release-switch --root $ROOT --rollback --expect={name}"),
            format!("release-switch --root $ROOT --rollback --link={name}/x"),
            format!("release-pin --root $ROOT --for 10days --reason test -- {name}"),
        ] {
            let (before, around) = (shop.listing(), shop.surroundings());
            let run = shop.pipe(&command).run();
            assert!([2, 65, 77].contains(&run.status), "{what}: {run}");
            assert!(!run.stdout.contains("\"ok\":true"), "{what}: {run}");
            assert!(!run.stderr.is_empty(), "{what}: nobody says why\n{run}");
            let control = |c: char| c.is_control() && c != '\n';
            assert!(!run.stderr.contains(control), "{what}: control characters reach the terminal\n{run}");
            assert!(!run.stderr.contains('\u{202e}'), "{what}: the text is turned around\n{run}");
            before.assert_unchanged(&shop.listing(), &format!("by {command}"));
            around.assert_unchanged(&shop.surroundings(), &format!("outside by {command}"));
        }
    }
}

#[test]
fn an_id_that_exists_is_not_replaced() {
    let shop = shop();
    let releases = shop.root().join("releases");
    let existing = shop.releases().remove(0);
    std::fs::write(releases.join("a-file"), "kept").expect("write a file");
    std::os::unix::fs::symlink("/nonexistent", releases.join("a-link")).expect("make a link");
    std::fs::create_dir(releases.join("a-directory")).expect("make a directory");
    let before = shop.listing();
    for id in [existing.as_str(), "a-file", "a-link", "a-directory"] {
        let run = shop.pipe(format!("release-mk --root $ROOT --from v2 --name {id}")).run();
        assert!([1, 65, 75, 77].contains(&run.status), "{run}");
        assert_eq!(run.record()["ok"], false, "{run}");
        before.assert_unchanged(&shop.listing(), &format!("by a second {id}"));
    }
}

#[test]
fn a_release_does_not_get_the_name_of_the_link() {
    let shop = shop();
    let before = shop.listing();
    shop.pipe("release-mk --root $ROOT --from v1 --name current").run().exits(2).prints_nothing().says("the link");
    shop.pipe("release-mk --root $ROOT --from v1 --link blue --name blue").run().exits(2).prints_nothing();
    before.assert_unchanged(&shop.listing(), "by a release with the name of the link");
}

#[test]
fn what_is_no_release_is_not_switched_to() {
    let shop = shop();
    let releases = shop.root().join("releases");
    std::fs::write(releases.join("a-file"), "").expect("write a file");
    std::os::unix::fs::symlink("../../canary", releases.join("a-link")).expect("make a link");
    std::fs::create_dir(releases.join("stranger")).expect("make a directory");
    let before = shop.listing();
    for id in ["a-file", "a-link", "stranger", "no-such-release"] {
        let run = shop.pipe(format!("release-switch --root $ROOT --to {id}")).run();
        assert!([69, 77].contains(&run.status), "{id}: {run}");
        assert_eq!(run.record()["ok"], false, "{run}");
        before.assert_unchanged(&shop.listing(), &format!("by a switch to {id}"));
    }
}

#[test]
fn an_instance_with_shell_characters_is_refused_and_runs_nothing() {
    let shop = shop();
    for name in
        ["'shop;touch ran'", "'$(touch ran)'", "'`touch ran`'", "'a b'", "../x", "-x", "''", "\"$(printf 'a\\nb')\""]
    {
        for via in ["exec --command restart='true {instance}' --command start='true {instance}'", "systemd"] {
            let run = shop.pipe(format!("svc-restart -n --via {via} -- {name}")).run();
            assert!([2, 65, 77].contains(&run.status), "{name}: {run}");
            assert!(!shop.path().join("ran").exists(), "{run}");
        }
    }
}

#[test]
fn a_placeholder_without_a_value_exits_2_before_any_effect() {
    let shop = shop();
    for option in ["--gate 'true {idle}'", "--before 'true {release}'", "--after 'true {live}'"] {
        let command = "--command restart='touch ran' --command start='touch ran'";
        let run = shop.pipe(format!("svc-restart -n --via exec {command} {option} shop@1")).run();
        run.exits(2).prints_nothing();
        assert!(!shop.path().join("ran").exists(), "{run}");
    }
}
