//! The harness itself: a real systemd starts a service that announces itself, and leaves nothing when it ends.

use stories::real::systemd::Systemd;
use stories::{Shop, binaries, skip};

/// A template unit that runs a shop-service in the root's current release.
pub(crate) fn shop_unit(shop: &Shop) -> String {
    let service = binaries::directory().join("shop-service");
    let (root, services) = (shop.root(), shop.services().dir().to_owned());
    format!(
        "[Service]\nType=exec\nEnvironment=LINK={0}/current\nWorkingDirectory={0}/current\n\
         ExecStart={1} {2}%i {3}/shop@%i.pid {3}/alive\n",
        root.display(),
        service.display(),
        shop.services().port(0) / 10,
        services.display(),
    )
}

#[test]
fn a_systemd_of_our_own_runs_a_service_from_the_release() {
    let shop = Shop::new();
    let root = shop.root();
    std::fs::create_dir_all(root.join("releases")).expect("make a root");
    std::fs::rename(shop.source("v1"), root.join("releases/v1")).expect("make a release");
    std::os::unix::fs::symlink("releases/v1", root.join("current")).expect("make a link");
    let systemd = match Systemd::boot(&shop, &[("shop@.service", &shop_unit(&shop))]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    let run = systemd.pipe(&shop, "systemctl start shop@1 && systemctl is-active shop@1").run();
    assert_eq!(run.exits(0).stdout, "active\n");
    assert_ne!(systemd.main_pid(&shop, "shop@1"), "0");
    assert_eq!(shop.services().pid(1), None, "a network of its own");
}
