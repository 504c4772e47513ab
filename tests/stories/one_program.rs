//! What is installed: one program that acts as the tool by whose name it is called, no otherwise than the tool alone.

use stories::{Run, Shop};

const TOOLS: [&str; 9] = [
    "release-gc",
    "release-lock",
    "release-ls",
    "release-mk",
    "release-pin",
    "release-switch",
    "svc-health",
    "svc-restart",
    "svc-route",
];

/// A script in which the tools are names of the one program.
fn with_one_program(shop: &Shop, script: &str) -> Run {
    let links =
        format!("mkdir -p one; for tool in {}; do ln -sf \"$(command -v cutover)\" one/$tool; done", TOOLS.join(" "));
    shop.pipe(format!("{links}; PATH=$PWD/one:$PATH; {script}")).run()
}

#[test]
fn each_name_acts_as_its_tool() {
    let shop = Shop::new();
    for tool in TOOLS {
        for question in ["--help", "--version", "--no-such-option", "--schema", "</dev/null"] {
            let asked = format!("{tool} {question} 2>&1");
            let (alone, together) = (shop.pipe(&asked).run(), with_one_program(&shop, &asked));
            assert_eq!(together.status, alone.status, "{together}");
            assert_eq!(together.stdout, alone.stdout, "{asked}");
        }
    }
}

#[test]
fn a_pipe_of_one_program_deploys_and_takes_itself_back() {
    let shop = Shop::new();
    shop.source("v1");
    shop.source_that("broken", "500");
    let deploy = |source: &str| {
        with_one_program(
            &shop,
            &format!(
                "restart() {{ svc-restart --via exec --command \"start=shop-manager start {{instance}}\" \
                 --command \"stop=shop-manager stop {{instance}}\" --command \"status=shop-manager status {{instance}}\" \
                 --require exec:true shop@1 --gate \"$GATE\" \"$@\"; }}
                 release-mk --root $ROOT --from {source} | release-switch | restart | release-switch --undo | restart --undo"
            ),
        )
    };
    deploy("v1").exits(0).record();
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"));
    let refused = deploy("broken");
    refused.exits(3);
    assert_eq!(shop.services().version(1).as_deref(), Some("v1"), "{refused}");
}

#[test]
fn called_by_no_tools_name_it_says_which_there_are() {
    let shop = Shop::new();
    let listed = shop.pipe("cutover").run();
    for tool in TOOLS {
        assert!(listed.exits(0).stdout.contains(tool), "{listed}");
    }
    shop.pipe("cutover release-ls").run().exits(2).says("call a tool by its name");
}
