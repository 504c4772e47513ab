use std::io::Write;

use proptest::prelude::*;

use super::*;

fn listing(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    entries.iter().for_each(|entry| writer.entry(entry).unwrap());
    writer.finish().unwrap().0
}

fn read(bytes: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut reader = Reader::new(bytes)?;
    std::iter::from_fn(|| reader.entry().transpose()).collect()
}

#[test]
fn a_walk_meets_what_is_in_a_directory_before_its_longer_named_sister() {
    let mut paths = [&b"a-b"[..], b"a/b", b"a", b"a.b", b"A", b"a/b/c"];
    paths.sort_by(|one, other| order(one, other));
    assert_eq!(paths, [&b"A"[..], b"a", b"a/b", b"a/b/c", b"a-b", b"a.b"]);
    let file = |path: &[u8]| Entry { path: path.to_vec(), what: What::Directory { mode: 0o755 } };
    let mut writer = Writer::new(Vec::new());
    writer.entry(&file(b"b")).unwrap();
    for wrong in [&b"a"[..], b"b"] {
        assert!(writer.entry(&file(wrong)).is_err());
    }
}

#[test]
fn a_listing_that_is_cut_off_is_an_error() {
    let what = What::File { mode: 0o644, size: 1, sha256: [7; 32] };
    let bytes = listing(&[Entry { path: b"a".to_vec(), what }]);
    let file_line = bytes.windows(2).position(|w| w == b"#f").unwrap();
    for cut in 0..bytes.len() {
        assert_eq!(read(&bytes[..cut]).is_ok(), cut == file_line, "cut at {cut}");
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        (0u32..0o10000).prop_map(|mode| What::Directory { mode }),
        (0u32..0o10000, 0u64..1 << 53, any::<[u8; 32]>()).prop_map(|(mode, size, sha256)| What::File {
            mode,
            size,
            sha256
        }),
        proptest::collection::vec(1u8.., 1..20).prop_map(|target| What::Symlink { target }),
    ]
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_names_along_the_path(
        one in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), 1u8..], 1..8),
        other in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'a'), 1u8..], 1..8),
    ) {
        let names = |path: &[u8]| path.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        prop_assert_eq!(order(&one, &other), names(&one).cmp(&names(&other)));
    }

    #[test]
    fn what_is_written_is_read_back(
        entries in proptest::collection::btree_map(
            proptest::collection::vec(prop_oneof![1u8..47, 48u8.., Just(b'\\'), Just(b'\n'), Just(b' '), Just(b'-')], 1..12), what(), 0..12),
    ) {
        let entries: Vec<Entry> = entries.into_iter().map(|(path, what)| Entry { path, what }).collect();
        let bytes = listing(&entries);
        prop_assert_eq!(&read(&bytes).unwrap(), &entries);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let open = || std::fs::File::open(file.path()).unwrap();
        let halves = Half::halves(open(), open()).unwrap();
        let both = halves.into_iter().flat_map(|mut half| std::iter::from_fn(move || half.entry().transpose()));
        prop_assert_eq!(both.collect::<anyhow::Result<Vec<_>>>().unwrap(), entries);
    }
}
