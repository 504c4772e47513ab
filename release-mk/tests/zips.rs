//! Hostile zip archives are refused as a whole, and leave nothing.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::path::Path;
use std::process::Command;

use site::Site;

fn zip(site: &Site, script: &str) -> std::path::PathBuf {
    let path = site.path("evil.zip");
    let _ = std::fs::remove_file(&path);
    let program = format!(
        "import sys,zipfile,warnings\nwarnings.simplefilter('ignore')\nz=zipfile.ZipFile(sys.argv[1],'w')\n{script}\nz.close()"
    );
    let made = Command::new("python3").arg("-c").arg(program).arg(&path).status().unwrap();
    assert!(made.success());
    path
}

#[test]
fn a_zip_says_how_many_entries_it_has_before_its_table_is_read() {
    let site = Site::new();
    // Nothing but an end: the table it tells of is not there, so who reads that first calls it damaged.
    let mut end = b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0".to_vec();
    let mut large = b"PK\x06\x06".to_vec();
    large.extend(44_u64.to_le_bytes());
    large.extend([0; 20]);
    large.extend(2_000_000_u64.to_le_bytes());
    large.extend([0; 16]);
    let mut locator = b"PK\x06\x07\0\0\0\0".to_vec();
    locator.extend(0_u64.to_le_bytes());
    locator.extend(1_u32.to_le_bytes());
    let zip = [large, locator, end.clone()].concat();
    assert_eq!(site.mk(&site.write("many.zip", zip), &[]).expect(77).code(), "archive.limit");
    end[10..12].copy_from_slice(&[11, 0]);
    assert_eq!(site.mk(&site.write("few.zip", end), &["--max-files", "10"]).expect(77).code(), "archive.limit");
}

#[test]
fn a_hostile_zip_is_refused_whole() {
    if Command::new("python3").arg("--version").output().is_err() {
        skip::note("there is no python3 to make zip archives with");
        return;
    }
    let site = Site::new();
    let with_mode = |name: &str, mode: u32, text: &str| {
        format!("i=zipfile.ZipInfo({name:?}); i.create_system=3; i.external_attr={mode}<<16; z.writestr(i,{text:?})")
    };
    let cases = [
        ("dot dot", "z.writestr('../evil','x')".into(), "archive.path"),
        ("absolute", "z.writestr('/tmp/evil','x')".into(), "archive.path"),
        ("backslash", "z.writestr('..\\\\evil','x')".into(), "archive.path"),
        ("twice", "z.writestr('a','x'); z.writestr('a','y')".into(), "archive.duplicate"),
        ("absolute symlink", with_mode("l", 0o120_777, "/etc/passwd"), "archive.link"),
        ("symlink out", with_mode("l", 0o120_777, "../x"), "archive.link"),
        ("set-user-id", with_mode("s", 0o104_755, "x"), "archive.set_id"),
        ("device", with_mode("d", 0o020_644, ""), "archive.kind"),
        (
            "overlapping",
            "z.writestr('a','x'*99); z.writestr('b','x'*99); z.filelist[1].header_offset=z.filelist[0].header_offset"
                .into(),
            "archive.overlap",
        ),
        ("encrypted", "z.writestr('a','x'); z.filelist[0].flag_bits|=1".into(), "archive.encrypted"),
        ("nothing", "pass".into(), "archive.empty"),
    ];
    for (name, script, code) in cases {
        let run = site.mk(&zip(&site, &script), &[]);
        assert_eq!((run.status, run.code()), (Some(77), code), "{name}: {}", run.stderr);
        assert_eq!(site.state(), [vec![], vec![], Vec::<String>::new()], "{name} left something");
    }
    let good = zip(&site, "z.writestr('d/a','x'*100000,zipfile.ZIP_DEFLATED); z.writestr('b','y')");
    for (option, most, code) in [("--max-files", "1", 77), ("--max-bytes", "100000", 77), ("--max-bytes", "100001", 0)]
    {
        assert_eq!(site.mk(&good, &[option, most]).expect(code).code(), if code == 0 { "" } else { "archive.limit" });
    }
    assert_eq!(site.mk(&good, &["--sha256", &"0".repeat(64)]).expect(77).code(), "archive.sha256");
    site.mk(&good, &["--name", "good"]).expect(0);
    site.sha256sum("good");
    let bytes = std::fs::read(&good).unwrap();
    let cut = site.write("cut.zip", &bytes[..bytes.len() - 10]);
    assert_eq!(site.mk(Path::new(&cut), &[]).expect(77).code(), "archive.damaged");
}
