//! What starting a tool costs, and a pipe of them, and a restart beside the manager alone.

use anyhow::Result;

use super::measured;
use crate::measure::{prepare, said};
use crate::row::{Group, Measured, Row, Setting};

pub(super) const GROUP: Group = Group {
    name: "starting",
    title: "Starting, and what a pipe costs",
    about: "`--version` builds the whole command line parser and does nothing else. The five stages pass on a failed \
            record, as they do when the first of them fails.",
    measure,
    why: &[(
        "a pipe of five stages",
        "Five starts of a tool, by the rows above, and one of a shell are more than half of it. The rest is what makes it a pipe that \
         undoes itself: each stage tells the one before that it is ready to read, and looks for a reader of its own before it \
         goes on. jq starts none of this and still takes more than ten times as long.",
    )],
};

/// Supervisor with two programs that ignore nothing and end at once.
const SUPERVISED: &str = "mkdir -p supervised && cd supervised && {
    echo '[unix_http_server]'; echo \"file=$PWD/sock\"
    echo '[supervisord]'; echo \"logfile=$PWD/log\"; echo \"pidfile=$PWD/pid\"; echo \"directory=$PWD\"
    echo '[rpcinterface:supervisor]'; echo 'supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface'
    echo '[supervisorctl]'; echo \"serverurl=unix://$PWD/sock\"
    echo '[program:web]'; echo 'command=sleep 1000'; echo 'startsecs=0'
} > conf && supervisord -c conf && for n in 1 2 3 4 5 6 7 8 9; do supervisorctl -c conf status web | grep -q RUNNING && exit 0; sleep 1; done; exit 1";

fn measure(setting: &Setting<'_>) -> Result<Measured> {
    let failed = r#"{"schema":"cutover.record/1","ok":false,"changed":false,"dry_run":false,"pipe":"0123456789abcdef","host":"here","stages":[],"error":{"tool":"release-mk","code":"mk.step","message":"no","exit":1,"retryable":false}}"#;
    // A record of another host would be refused.
    let failed = failed.replace("\"here\"", &format!("\"{}\"", said("hostname").unwrap_or_default()));
    prepare(&setting.place.path, &format!("printf '%s\\n' '{failed}' > failed.json"))?;
    let stage = |tool: &str| format!("{{bin}}/{tool} --root none");
    let ours = [
        format!("{} < failed.json", stage("release-switch")),
        "{bin}/svc-restart --via exec --command restart=true web".into(),
        "{bin}/svc-health http://127.0.0.1:1/".into(),
        stage("release-gc"),
        "{bin}/svc-restart --via exec --command restart=true web".into(),
    ];
    let mut rows = vec![
        Row::new("release-switch --version", "{bin}/release-switch --version", "/bin/true", "/bin/true")
            .repeat(50)
            .bar(0.5),
        Row::new("svc-health --version", "{bin}/svc-health --version", "/bin/true", "/bin/true").repeat(50).bar(0.5),
        Row {
            status: 1,
            ..Row::new(
                "a pipe of five stages",
                ours.join(" | "),
                "five jq",
                "jq -c . < failed.json | jq -c . | jq -c . | jq -c . | jq -c . && exit 1",
            )
        }
        .bar(0.05),
    ];
    let mut skipped = Vec::new();
    let supervised = said("command -v supervisord").is_some() && prepare(&setting.place.path, SUPERVISED).is_ok();
    if supervised {
        rows.push(Row::new(
            "a restart through supervisor",
            "{bin}/svc-restart -n --quiet --via supervisor --socket $PWD/supervised/sock web",
            "supervisorctl restart",
            "supervisorctl -c $PWD/supervised/conf restart web",
        ));
    } else {
        skipped.push("a restart through supervisor: supervisord is not installed or did not start".into());
    }
    if !std::path::Path::new("/run/systemd/system").exists() {
        skipped.push("a restart through systemd beside systemctl alone: systemd does not run here".into());
    }
    let measured = measured(setting, &rows, 15, skipped);
    if supervised {
        prepare(&setting.place.path, "kill $(cat supervised/pid); rm -rf supervised")?;
    }
    measured
}
