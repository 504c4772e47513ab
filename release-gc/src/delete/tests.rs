#![expect(clippy::disallowed_methods, reason = "tests build what is to be deleted")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags, mkdirat, openat};

use super::*;

struct Place {
    holder: tempfile::TempDir,
    trash: Dir,
}

fn place() -> Place {
    let holder = tempfile::tempdir().unwrap();
    fs::create_dir(holder.path().join("trash")).unwrap();
    fs::create_dir(holder.path().join("outside")).unwrap();
    fs::write(holder.path().join("outside/precious"), "x").unwrap();
    let trash = Dir::open(&holder.path().join("trash")).unwrap();
    Place { holder, trash }
}

impl Place {
    fn tree(&self) -> std::path::PathBuf {
        let path = self.holder.path().join("trash/tree");
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn delete(&self) -> Deleted {
        delete(&self.trash, &["tree".into()], &|| false)
    }

    fn assert_outside_is_whole(&self) {
        assert_eq!(fs::read_to_string(self.holder.path().join("outside/precious")).unwrap(), "x");
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn make_chain(top: &Path, depth: usize, mode: Mode) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = rustix::fs::open(top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&here, "deeper", Mode::RWXU).unwrap();
        let below = openat(&here, "deeper", flags, Mode::empty()).unwrap();
        rustix::fs::fchmod(&here, mode).unwrap();
        here = below;
    }
}

#[test]
fn a_tree_goes_whole_and_links_out_of_it_are_only_links() {
    let place = place();
    let tree = place.tree();
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::write(tree.join("a/b/file"), vec![1; 20_000]).unwrap();
    symlink(place.holder.path().join("outside"), tree.join("a/out")).unwrap();
    symlink("../../outside/precious", tree.join("file-out")).unwrap();
    symlink("nowhere", tree.join("dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, tree.join("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let deleted = place.delete();
    assert!(!tree.exists());
    assert_eq!((deleted.left, deleted.entries, deleted.stopped), (0, 9, false));
    assert!(deleted.freed_bytes >= 20_000);
    place.assert_outside_is_whole();
}

#[test]
fn a_file_or_link_in_place_of_the_tree_is_removed_as_what_it_is() {
    let place = place();
    symlink(place.holder.path().join("outside"), place.holder.path().join("trash/tree")).unwrap();
    assert_eq!(place.delete().entries, 1);
    place.assert_outside_is_whole();
    assert_eq!(place.delete().left, 0, "what is gone is no failure");
}

#[test]
fn only_the_last_name_of_a_file_frees_its_space() {
    let place = place();
    let tree = place.tree();
    fs::write(place.holder.path().join("outside/big"), vec![1; 1 << 20]).unwrap();
    fs::hard_link(place.holder.path().join("outside/big"), tree.join("one")).unwrap();
    assert!(place.delete().freed_bytes < 1 << 20);
    let tree = place.tree();
    fs::write(tree.join("one"), vec![1; 1 << 20]).unwrap();
    fs::hard_link(tree.join("one"), tree.join("two")).unwrap();
    let freed = place.delete().freed_bytes;
    assert!((1 << 20..1 << 21).contains(&freed), "{freed}");
}

#[test]
fn four_thousand_levels_need_no_more_than_sixty_four_descriptors() {
    for mode in [Mode::RWXU, Mode::RUSR | Mode::XUSR] {
        let place = place();
        let tree = place.tree();
        for side in ["left", "right"] {
            fs::create_dir(tree.join(side)).unwrap();
            make_chain(&tree.join(side), 4000, mode);
        }
        let (before, most, asked) = (open_descriptors(), AtomicUsize::new(0), AtomicUsize::new(0));
        let deleted = delete(&place.trash, &["tree".into()], &|| {
            // To count each time would take longer than the deletion.
            if asked.fetch_add(1, Ordering::Relaxed) % 61 == 0 {
                most.fetch_max(open_descriptors(), Ordering::Relaxed);
            }
            false
        });
        assert_eq!((deleted.left, deleted.entries), (0, 8_003));
        // Other tests open files at the same time; a descriptor per level would be thousands.
        let most = most.into_inner();
        assert!(most < before + 200, "{most} descriptors were open");
    }
}

#[test]
fn a_wide_directory_of_files_and_directories_goes_in_batches() {
    let place = place();
    let tree = place.tree();
    for n in 0..40_000 {
        match n % 2 {
            0 => fs::write(tree.join(format!("file-{n}")), "").unwrap(),
            _ => fs::create_dir(tree.join(format!("directory-{n}"))).unwrap(),
        }
    }
    let deleted = place.delete();
    assert_eq!((deleted.left, deleted.entries, tree.exists()), (0, 40_001, false));
}

#[test]
fn its_owner_s_closed_directories_are_opened_up() {
    let place = place();
    let tree = place.tree();
    fs::create_dir_all(tree.join("closed/below")).unwrap();
    fs::write(tree.join("closed/below/file"), "").unwrap();
    let close = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    close(&tree.join("closed/below"), 0o500);
    close(&tree.join("closed"), 0);
    close(&tree, 0o400);
    let deleted = as_nobody(&place, || place.delete());
    assert_eq!((deleted.left, tree.exists()), (0, false), "{:?}", deleted.named);
}

/// Uid 0 is refused nothing, so what modes mean is seen as somebody else only; in a child, because other
/// tests run in this process.
fn as_nobody(place: &Place, act: impl FnOnce() -> Deleted + Send) -> Deleted {
    if !rustix::process::geteuid().is_root() {
        return act();
    }
    let nobody = 65534;
    let chown = Command::new("chown").args(["-R", &nobody.to_string()]).arg(place.holder.path()).status().unwrap();
    assert!(chown.success());
    // The effective identity of one thread only, as the kernel sees it.
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                rustix::thread::set_thread_res_uid(
                    rustix::process::Uid::from_raw(nobody),
                    rustix::process::Uid::from_raw(nobody),
                    rustix::process::Uid::ROOT,
                )
                .unwrap();
                act()
            })
            .join()
            .unwrap()
    })
}

#[test]
fn a_mount_in_the_tree_is_left_alone_and_the_rest_goes() {
    let place = place();
    let tree = place.tree();
    for name in ["tmpfs", "bind", "with/deep/rest"] {
        fs::create_dir_all(tree.join(name)).unwrap();
    }
    let mount = |arguments: &[&str], at: &str| {
        Command::new("mount").args(arguments).arg(tree.join(at)).stderr(std::process::Stdio::null()).status()
    };
    if !mount(&["-t", "tmpfs", "none"], "tmpfs").is_ok_and(|status| status.success()) {
        return skip::note("mounting needs root");
    }
    let outside = place.holder.path().join("outside");
    assert!(mount(&["--bind", outside.to_str().unwrap()], "bind").unwrap().success());
    fs::write(tree.join("tmpfs/kept"), "x").unwrap();
    let deleted = place.delete();
    let still_there = tree.join("tmpfs/kept").exists() && tree.join("bind/precious").exists();
    for name in ["tmpfs", "bind"] {
        assert!(Command::new("umount").arg(tree.join(name)).status().unwrap().success());
    }
    assert!(still_there);
    place.assert_outside_is_whole();
    assert!(!tree.join("with").exists());
    let paths: Vec<&str> = deleted.named.iter().map(|left| left.path.as_str()).collect();
    assert_eq!((deleted.left, paths.as_slice()), (2, ["tree/bind", "tree/tmpfs"].as_slice()));
    assert!(deleted.named.iter().all(|left| left.why.contains("mounted")), "{:?}", deleted.named);
}

#[test]
fn an_immutable_file_is_reported_and_the_rest_goes() {
    let place = place();
    let tree = place.tree();
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/fixed"), "x").unwrap();
    fs::write(tree.join("a/b/loose"), "x").unwrap();
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(tree.join("a/b/fixed")).output();
    if !chattr("+i").is_ok_and(|output| output.status.success()) {
        return skip::note("immutable files need root and a file system that has them");
    }
    let deleted = place.delete();
    assert!(chattr("-i").unwrap().status.success());
    assert_eq!((deleted.left, deleted.named[0].path.as_str()), (1, "tree/a/b/fixed"));
    assert!(tree.join("a/b/fixed").exists() && !tree.join("a/b/loose").exists());
    assert_eq!(place.delete().left, 0);
}

#[test]
fn whoever_swaps_directories_and_links_meanwhile_leads_nowhere() {
    let place = place();
    let outside = place.holder.path().join("outside");
    for round in 0..20 {
        let tree = place.tree();
        for n in 0..60 {
            fs::create_dir_all(tree.join(format!("d{n}/sub"))).unwrap();
            fs::write(tree.join(format!("d{n}/sub/file")), "").unwrap();
            symlink(&outside, tree.join(format!("link{n}"))).unwrap();
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attacker = scope.spawn(|| {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                while !over.load(Ordering::Relaxed) {
                    for n in 0..60 {
                        let (one, other) = (tree.join(format!("d{n}")), tree.join(format!("link{n}")));
                        let _ = rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags);
                    }
                }
            });
            place.delete();
            over.store(true, Ordering::Relaxed);
            attacker.join().unwrap();
        });
        place.assert_outside_is_whole();
        assert_eq!(place.delete().left, 0, "round {round}");
        assert!(!tree.exists());
    }
}

#[test]
fn a_deletion_that_is_told_to_stop_leaves_the_rest_to_the_next_one() {
    let place = place();
    let tree = place.tree();
    for n in 0..100 {
        fs::create_dir_all(tree.join(format!("d{n}/sub"))).unwrap();
    }
    let asked = AtomicUsize::new(0);
    let deleted = delete(&place.trash, &["tree".into()], &|| asked.fetch_add(1, Ordering::Relaxed) > 20);
    assert!(deleted.stopped && deleted.left == 0 && tree.exists());
    let rest = place.delete();
    assert!(!rest.stopped && !tree.exists());
    assert_eq!(deleted.entries + rest.entries, 201);
}
