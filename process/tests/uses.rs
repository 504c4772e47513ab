#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "real processes are what is looked at")]
//! Whatever a process uses of a tree, and under whatever name, it is found.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use process::{By, Tree, scan, uses_of};

/// A process that says when it is ready and ends when it is dropped.
struct Service(Child);

impl Service {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the service did not come up");
        Self(child)
    }

    fn script(script: &str) -> Self {
        Self::start(Command::new("sh").args(["-c", script]))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Release {
    _holder: tempfile::TempDir,
    path: PathBuf,
}

fn release() -> Release {
    let holder = tempfile::tempdir().unwrap();
    fs::set_permissions(holder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = holder.path().join("releases/1");
    fs::create_dir_all(path.join("sub/deep")).unwrap();
    fs::create_dir_all(holder.path().join("releases/10")).unwrap();
    fs::write(path.join("sub/file"), "x").unwrap();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    copy(&shell, &path.join("sub/server"));
    Release { _holder: holder, path }
}

/// Copies a program that is to be run. By a process of its own: a child that another test starts just now would inherit a
/// descriptor to write with, and nobody can run a file that is open for writing.
fn copy(program: &Path, to: &Path) {
    assert!(Command::new("cp").arg(program).arg(to).status().unwrap().success());
}

/// The ways in which `service` uses the release, asked of all processes and of this one alone.
fn ways(service: &Service, release: &Path) -> Vec<By> {
    let releases = Tree::at("releases", release.parent().unwrap()).unwrap();
    let trees = ["1", "10"].map(|name| releases.within(name, name).unwrap().unwrap());
    assert_eq!(trees[0], Tree::at("1", release).unwrap());
    let pid = service.0.id();
    let mut uses = scan(&trees).unwrap().uses;
    uses.retain(|found| found.pid == pid);
    assert_eq!(uses_of(pid, &trees).unwrap(), uses);
    assert!(uses.iter().all(|found| found.tree == "1"), "{uses:?}");
    uses.into_iter().map(|found| found.by).collect()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn executed_stood_in_and_open_files_are_uses() {
    let release = release();
    let path = release.path.display();
    let exe = Service::start(Command::new(release.path.join("sub/server")).args(["-c", "echo ready; read x"]));
    assert_eq!(ways(&exe, &release.path), [By::Exe, By::Map]);
    let cwd = Service::script(&format!("cd {path}/sub/deep; echo ready; read x"));
    assert_eq!(ways(&cwd, &release.path), [By::Cwd]);
    let open = Service::script(&format!("exec 5<{path}/sub/file; echo ready; read x"));
    assert_eq!(ways(&open, &release.path), [By::File]);
    let none = Service::script("echo ready; read x");
    assert_eq!(ways(&none, &release.path), []);
}

#[test]
fn a_mapped_library_is_a_use_although_nobody_holds_it_open() {
    let release = release();
    let Some(library) = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6"]
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        return skip::note("no shared library to preload here");
    };
    let copy = release.path.join("lib.so");
    fs::copy(library, &copy).unwrap();
    let service = Service::start(Command::new("sh").args(["-c", "echo ready; read x"]).env("LD_PRELOAD", &copy));
    assert_eq!(ways(&service, &release.path), [By::Map]);
}

#[test]
fn what_was_deleted_or_moved_is_still_used() {
    let release = release();
    let path = release.path.display();
    let deleted = Service::script(&format!("exec 5<{path}/sub/file; rm {path}/sub/file; echo ready; read x"));
    assert_eq!(ways(&deleted, &release.path), [By::File]);
    let gone = Service::script(&format!("cd {path}/sub/deep; rmdir {path}/sub/deep; echo ready; read x"));
    assert_eq!(ways(&gone, &release.path), [By::Cwd]);
    let moved = release.path.with_file_name("trash");
    fs::rename(&release.path, &moved).unwrap();
    let trees = [Tree::at("moved", &moved).unwrap()];
    assert_eq!(uses_of(gone.0.id(), &trees).unwrap()[0].by, By::Cwd);
}

#[test]
fn a_process_whose_main_thread_has_ended_is_looked_at_through_another() {
    let release = release();
    let script = "import ctypes, os, sys, threading\n\
        os.chdir(sys.argv[1])\n\
        main = threading.get_native_id()\n\
        def ended():\n\
        \x20   with open(f'/proc/self/task/{main}/stat') as f: return f.read().rsplit(') ')[1][0] == 'Z'\n\
        def stay():\n\
        \x20   while not ended(): os.sched_yield()\n\
        \x20   print('ready', flush=True)\n\
        \x20   sys.stdin.read()\n\
        threading.Thread(target=stay).start()\n\
        ctypes.CDLL(None).syscall(60, 0)\n";
    if !cfg!(target_arch = "x86_64") || !Path::new("/usr/bin/python3").exists() {
        return skip::note("needs python3 on x86-64");
    }
    let service = Service::start(Command::new("python3").args(["-c", script]).arg(&release.path));
    assert_eq!(ways(&service, &release.path), [By::Cwd]);
}

#[test]
fn processes_of_other_users_and_in_other_namespaces_are_found() {
    if !is_root() {
        return skip::note("other users and mount namespaces need root");
    }
    let release = release();
    let path = release.path.display();
    let other = Service::start(
        Command::new("sh").args(["-c", &format!("cd {path}/sub; echo ready; read x")]).uid(65534).gid(65534),
    );
    assert_eq!(ways(&other, &release.path), [By::Cwd]);

    let namespaced = |script: &str| {
        let script = format!("set -e; M=$(mktemp -d); mount -t tmpfs none $M; mkdir $M/app; {script}");
        Service::start(Command::new("unshare").args(["-m", "sh", "-c", &script]))
    };
    let bound = namespaced(&format!("mount --bind {path} $M/app; cd $M/app/sub; echo ready; read x"));
    assert_eq!(ways(&bound, &release.path), [By::Cwd]);
    // The tree's own directory is in no part of this path: only the place in the file system tells.
    let part = namespaced(&format!("mount --bind {path}/sub $M/app; exec 5<$M/app/file; echo ready; read x"));
    assert_eq!(ways(&part, &release.path), [By::File]);
    let exe = namespaced(&format!("mount --bind {path}/sub $M/app; exec $M/app/server -c 'echo ready; read x'"));
    assert_eq!(ways(&exe, &release.path), [By::Exe, By::Map]);
    let hidden = namespaced(&format!("cd {path}/sub/deep; mount -t tmpfs none {path}/sub; echo ready; read x"));
    assert_eq!(ways(&hidden, &release.path), [By::Cwd]);
    let unmounted =
        namespaced(&format!("mount --bind {path} $M/app; cd $M/app/sub; umount -l $M/app; echo ready; read x"));
    assert_eq!(ways(&unmounted, &release.path), [By::Cwd]);
}

#[test]
fn a_root_directory_in_a_tree_is_a_use() {
    let busybox = Path::new("/bin/busybox");
    if !is_root() || !busybox.exists() {
        return skip::note("chroot needs root and busybox-static");
    }
    let release = release();
    copy(busybox, &release.path.join("sh"));
    let service = Service::start(Command::new("chroot").arg(&release.path).args(["/sh", "-c", "echo ready; read x"]));
    assert!(ways(&service, &release.path).contains(&By::Root));
}

#[test]
fn processes_that_may_not_be_looked_at_are_counted_and_kernel_threads_are_not() {
    if !is_root() {
        return skip::note("needs root to become nobody");
    }
    // Some containers keep a process even from root.
    let unseen_by_root = scan(&[]).unwrap().unseen_processes.to_string();
    let release = release();
    // Cargo's target directory may be closed to others.
    let own = release.path.join("test");
    copy(&std::env::current_exe().unwrap(), &own);
    let mut command = Command::new(own);
    command.args(["--ignored", "--exact", "inside_as_nobody", "--nocapture"]).uid(65534).gid(65534);
    command.env("UNSEEN_BY_ROOT", unseen_by_root);
    let output = command.current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
#[ignore = "run by processes_that_may_not_be_looked_at_are_counted_and_kernel_threads_are_not"]
fn inside_as_nobody() {
    let unseen = scan(&[]).unwrap().unseen_processes;
    let shown =
        fs::read_dir("/proc").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok());
    let by_root: u64 = std::env::var_os("UNSEEN_BY_ROOT").unwrap().to_str().unwrap().parse().unwrap();
    // The shell or make that runs these tests is root's.
    assert!(unseen > by_root, "the processes of root were taken for seen: {unseen}, {by_root}");
    assert!(unseen < shown.count() as u64);
    assert!(uses_of(1, &[]).unwrap_err().to_string().contains("not allowed"));
}
