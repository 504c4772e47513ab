//! A canary in the environment, in files, in URLs and in header fields: no record, no line for people, no file of a root
//! and no command line of a child has it.

use std::fs;

use stories::{Checker, Run, Shop, skip};

const CANARY: &str = "hunter2-canary";

/// What is run, with `$CANARY` in it or around it.
const SCRIPTS: &[&str] = &[
    // In a URL: its user information, its query, its fragment.
    "release-mk --root $ROOT --from https://user:$CANARY@127.0.0.1:1/shop.git --ref main",
    "release-mk --root $ROOT --from \"https://127.0.0.1:1/shop.git?token=$CANARY\" --ref main",
    "release-mk --root $ROOT --from \"ssh://user:$CANARY@127.0.0.1:1/shop.git\" --ref main",
    "release-mk --root $ROOT --from \"file://$PWD/repository?$CANARY\" --ref main",
    "svc-health -n \"http://user:$CANARY@127.0.0.1:1/healthz?token=$CANARY#$CANARY\"",
    "svc-health -n \"https://127.0.0.1:1/?$CANARY\" --header \"Authorization: Bearer $CANARY\"",
    "svc-health -n \"http+unix:///nowhere.sock:/healthz?token=$CANARY\" --header \"Cookie: $CANARY\"",
    // In a file of settings: named by a variable that must be there.
    "release-mk --root $ROOT --from v1 --require-env shared/settings:API_KEY | release-switch | release-switch --undo",
    "release-mk --root $ROOT --from v1 --require-env shared/settings:API_KEY,MISSING",
    "release-mk --root $ROOT --from v1 --require-env shared/settings:BROKEN",
    // In commands, which are never written down, and in what they see.
    "release-mk --root $ROOT --from v1 --step build=\"true $CANARY\" | release-switch",
    "release-mk --root $ROOT --from v1 --step build=\"false $CANARY\" | release-switch",
    "release-mk --root $ROOT --from v1 | release-switch | svc-health \"exec:echo $CANARY; echo $CANARY >&2; false\" | release-switch --undo",
    "release-mk --root $ROOT --from v1 | release-switch | svc-restart --via exec --command \"restart=exit 1 # $CANARY\" shop@1 | release-switch --undo",
    "release-mk --root $ROOT --from v1 | release-switch | svc-restart --via exec --command restart=true --command status=true --gate \"exit 3 # $CANARY\" shop@1 | release-switch --undo",
    "release-mk --root $ROOT --from v1 | release-switch | svc-restart --via exec --command restart=true --command status=true --before \"exit 1 # $CANARY\" shop@1 | release-switch --undo",
    "svc-health -n http://127.0.0.1:1/ --header \"Authorization: @root/shared/settings\"",
    "svc-route -n --via haproxy --socket nowhere --backend shop --slot blue=127.0.0.1:1 --slot green=127.0.0.1:2 --to blue",
    // In whatever wakes up under the lock.
    "release-lock --root $ROOT -- dash -c \": $CANARY; release-switch --rollback\"",
    "rm -f held; { release-lock --root $ROOT -- dash -c \": $CANARY; touch held; sleep 1\" & until [ -e held ]; do sleep 0.01; done; \
     release-switch -n --root $ROOT --rollback --lock-wait 0s; kill $!; wait; }",
    // In a source: what is copied is not told.
    "release-mk --root $ROOT --from settings --name one | release-switch; release-ls --root $ROOT --verify; release-ls --root $ROOT --json; \
     release-ls --root $ROOT --html",
];

fn told(run: &Run) -> bool {
    // The story's own script has the variable's name, not its value.
    run.stdout.contains(CANARY) || run.stderr.contains(CANARY)
}

#[test]
fn a_canary_is_in_no_record_no_line_for_people_and_no_file_of_a_root() {
    let shop = Shop::new();
    shop.source("v1");
    shop.deploy_well("v1");
    shop.write("settings", &format!("API_KEY={CANARY}\nBROKEN='{CANARY}\n"));
    shop.pipe("cp settings root/shared").run().exits(0);
    let checker = Checker::of(&shop.root()).secret(CANARY);
    for script in SCRIPTS {
        // Twice: what is said of the second is also what was kept of the first.
        for verbose in ["", " -v"] {
            let script = script.replace("release-mk ", &format!("release-mk{verbose} "));
            let run = shop.pipe(&script).env("CANARY", CANARY).env("API_KEY", CANARY).run();
            assert_ne!(run.status, 127, "{run}");
            assert!(!told(&run), "{run}");
            // The one release that is made of a file with a secret has it, as it should.
            let state: Vec<_> = checker.violations().into_iter().filter(|broken| broken.promise == "I14").collect();
            assert!(state.is_empty(), "{state:?}\n{run}");
        }
    }
}

#[test]
fn what_a_tool_finds_in_its_environment_or_in_a_file_is_on_no_command_line() {
    if !skip::has("strace") {
        skip!("strace is missing");
    }
    let shop = Shop::new();
    shop.source("v1");
    shop.deploy("v1");
    shop.write("settings", &format!("API_KEY={CANARY}\n"));
    shop.pipe("cp settings root/shared").run().exits(0);
    // The shell of the gate and of the step sees it, the words that it is started with do not have it.
    let script = "release-mk --root $ROOT --from v1 --require-env shared/settings:API_KEY --step build='test -n \"$CANARY\"' | release-switch \
                  | svc-restart --via exec --command restart=true --command status=true --gate 'test -n \"$CANARY\"' shop@1 \
                  | svc-health 'exec:test -n \"$CANARY\"' | release-switch --undo";
    let words = ["strace", "-f", "-qq", "-v", "-s", "4096", "-o", "calls", "-e", "trace=execve"];
    let run = shop.pipe(script).env("CANARY", CANARY).under(words).run();
    run.exits(0);
    let calls = fs::read_to_string(shop.path().join("calls")).expect("the calls");
    // PROGRAM, [ARGUMENTS], [ENVIRONMENT]
    let arguments = calls.lines().filter_map(|line| line.split("], [").next());
    let told: Vec<_> = arguments.filter(|words| words.contains(CANARY)).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(calls.contains(CANARY), "the environment was not looked at");
}
