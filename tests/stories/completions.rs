//! What a shell offers behind TAB: release ids, links, instances and slots, beside the options.

use stories::{Shop, binaries, skip};

/// A shop with two releases, a build that failed, and a run that has restarted `shop@1` and `shop@2`.
fn shop() -> (Shop, [String; 2]) {
    let shop = Shop::new();
    shop.source("v1");
    shop.source("v2");
    let ids = ["v1", "v2"].map(|source| shop.deploy(source));
    shop.pipe("release-mk --root $ROOT --from v1 --name half --step no=false >failed.json").run().exits(1);
    let run = r#"{"stages":[{"instances":[{"name":"shop@1"},{"name":"shop@2"}]}]}"#;
    shop.write("root/.cutover/run.json", run);
    (shop, ids)
}

/// What is typed, and what is offered for its last word; `{0}` and `{1}` are the ids.
const OFFERED: [(&str, &str); 10] = [
    ("release-switch --to ", "{0} {1}"),
    ("release-switch --root $ROOT --expect {1}", "{1}"),
    ("release-pin ", "{0} {1}"),
    ("release-pin --rem", "--remove"),
    ("release-mk --resume ", "half"),
    ("release-gc --link ", "current"),
    ("svc-restart --via exec ", "shop@1 shop@2"),
    ("svc-restart --via exec --pau", "--pause"),
    ("svc-route --slot blue=1 --slot green=2 --to ", "blue green idle"),
    ("svc-route --slot blue=1 --slot green=2 --to g", "green"),
];

/// Asks a shell for each line; `ask` prints what it offers for `$LINE` of `$TOOL`, one on a line, anything behind a tab.
fn offers(shell: &[&str], ask: &str) {
    let (shop, ids) = shop();
    for (typed, expected) in OFFERED {
        let fill = |text: &str| text.replace("{0}", &ids[0]).replace("{1}", &ids[1]);
        let line = fill(typed).replace("$ROOT", &shop.root().display().to_string());
        let tool = line.split(' ').next().unwrap_or_default();
        let folder = binaries::workspace().join("docs/completions");
        let script = format!("CUTOVER_ROOT=$ROOT TOOL={tool} LINE='{line}' FOLDER='{}' {ask}", folder.display());
        let run = shop.pipe(script).shell(&["bash", "-c"]).run();
        let offered = run.exits(0).stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().trim());
        let offered = offered.collect::<Vec<_>>().join(" ");
        assert_eq!(offered, fill(expected), "{} for {line}\n{run}", shell[0]);
    }
}

#[test]
fn bash_offers_what_lies_on_disk() {
    // Words as bash parts them: an equals sign is one of its own.
    let ask = r#"bash -c 'source "$FOLDER/bash/$TOOL"
        read -ra COMP_WORDS <<<"${LINE//=/ = }"
        case $LINE in *\ ) COMP_WORDS+=("") ;; esac
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p "$TOOL" | sed "s/.*-F \([^ ]*\).*/\1/")
        "$function" "$TOOL" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"'"#;
    offers(&["bash"], ask);
}

#[test]
fn fish_offers_what_lies_on_disk() {
    if !skip::has("fish") {
        skip!("fish is not installed");
    }
    offers(&["fish"], r#"fish --no-config -c 'source $FOLDER/fish/$TOOL.fish; complete -C $LINE'"#);
}

/// zsh completes on a terminal only, so its functions are asked, and each must stand where zsh calls it.
#[test]
fn zsh_has_what_lies_on_disk() {
    if !skip::has("zsh") {
        skip!("zsh is not installed");
    }
    let (shop, ids) = shop();
    let folder = binaries::workspace().join("docs/completions/zsh");
    for (typed, kind, expected) in [
        ("release-switch --to ''", "releases", ids.join(" ")),
        ("release-pin ''", "releases", ids.join(" ")),
        ("release-mk --resume ''", "failed", "half".to_owned()),
        ("release-gc --link ''", "links", "current".to_owned()),
        ("svc-restart --via=exec ''", "instances", "shop@1 shop@2".to_owned()),
        ("svc-route --slot blue=1 --slot=green=2 --to ''", "slots", "blue green idle".to_owned()),
    ] {
        let tool = typed.split(' ').next().unwrap_or_default();
        let file = folder.join(format!("_{tool}"));
        let text = std::fs::read_to_string(&file).expect("read a completion");
        assert!(text.contains(&format!(":__cutover_{kind}'")), "{} never calls it", file.display());
        let script = format!(
            "zsh -f -c 'source <(sed \"/^if .*funcstack/,\\$d\" {}); compadd() {{ shift; print -- $* }}
            words=({}); CURRENT=${{#words}}; __cutover_{kind}'",
            file.display(),
            typed.replace("''", "\"\"")
        );
        let run = shop.pipe(format!("export CUTOVER_ROOT=$ROOT; {script}")).run();
        assert_eq!(run.exits(0).stdout.trim(), expected, "{typed}\n{run}");
    }
}
