//! A disk that remembers in which order it was written: `shop-disk IMAGE LOG DIR`.
//!
//! Mounts on DIR, by FUSE, the file `disk`, which is IMAGE, and the file `mark`, and ends when DIR is unmounted. A loop
//! device over `disk` behaves as one with a volatile cache: what is written before a flush is on the medium when the flush
//! ends. Every write, flush and mark is appended to LOG in the order in which it was answered; `stories::disk` reads it.
//!
//! Only as much of the protocol as a loop device and `echo` need (linux/fuse.h, version 7.31): one request at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

const TOP: u64 = 1;
const DISK: u64 = 2;
const MARK: u64 = 3;
const LARGEST_WRITE: usize = 1 << 20;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [image, log, dir] = arguments.as_slice() else { return ExitCode::from(2) };
    serve(Path::new(image), Path::new(log), Path::new(dir)).expect("serve the disk");
    ExitCode::SUCCESS
}

struct Disk {
    image: File,
    log: File,
}

/// Mounts, and answers until nobody asks any more.
fn serve(image: &Path, log: &Path, dir: &Path) -> io::Result<()> {
    let mut fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
    mount(Some("shop-disk"), dir, Some("fuse"), MsFlags::empty(), Some(options.as_str()))?;
    let mut disk = Disk {
        image: OpenOptions::new().read(true).write(true).open(image)?,
        log: OpenOptions::new().append(true).create(true).open(log)?,
    };
    let mut buffer = vec![0; LARGEST_WRITE + 64 * 1024];
    loop {
        let length = match fuse.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => continue,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let request = Request(&buffer[..length]);
        // FORGET, INTERRUPT and BATCH_FORGET are not answered.
        if matches!(request.opcode(), 2 | 36 | 42) {
            continue;
        }
        let (error, answer) = match disk.answer(&request) {
            Ok(answer) => (0, answer),
            Err(errno) => (-(errno as i32), Vec::new()),
        };
        let length = u32::try_from(16 + answer.len()).expect("an answer that fits");
        let head = [&length.to_le_bytes()[..], &error.to_le_bytes(), &request.unique().to_le_bytes()].concat();
        match fuse.write_all(&[head, answer].concat()) {
            Ok(()) => {}
            // Who asked is gone.
            Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A request of the kernel: 40 bytes of head, then what the operation needs.
struct Request<'b>(&'b [u8]);

impl<'b> Request<'b> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn opcode(&self) -> u32 {
        self.u32(4)
    }

    fn unique(&self) -> u64 {
        self.u64(8)
    }

    fn node(&self) -> u64 {
        self.u64(16)
    }

    fn body(&self) -> &'b [u8] {
        &self.0[40..]
    }
}

impl Disk {
    fn answer(&mut self, request: &Request<'_>) -> Result<Vec<u8>, Errno> {
        match request.opcode() {
            // INIT: one write may have a MiB; no cache of ours is between the loop device and the log.
            26 => {
                let flags: u32 = 1 << 5 | 1 << 22;
                let most = u32::try_from(LARGEST_WRITE).expect("a number");
                let mut answer = words(&[7, 31, 0, flags, 0]);
                answer.extend(words(&[most, 1, 256]));
                answer.resize(64, 0);
                Ok(answer)
            }
            // LOOKUP
            1 => {
                let node = match request.body() {
                    b"disk\0" => DISK,
                    b"mark\0" => MARK,
                    _ => return Err(Errno::ENOENT),
                };
                let mut answer =
                    [node.to_le_bytes(), [0; 8], 60_u64.to_le_bytes(), 60_u64.to_le_bytes(), [0; 8]].concat();
                answer.extend(self.attributes(node)?);
                Ok(answer)
            }
            // GETATTR, SETATTR
            3 | 4 => Ok([&60_u64.to_le_bytes()[..], &[0; 8], &self.attributes(request.node())?].concat()),
            // OPEN, OPENDIR
            14 | 27 => Ok(vec![0; 16]),
            // READ
            15 if request.node() == DISK => {
                let mut bytes = vec![0; request.u32(40 + 16) as usize];
                let count = self.image.read_at(&mut bytes, request.u64(40 + 8)).map_err(|_| Errno::EIO)?;
                bytes.truncate(count);
                Ok(bytes)
            }
            // READ of a mark, READDIR
            15 | 28 => Ok(Vec::new()),
            // WRITE
            16 => {
                let (offset, length) = (request.u64(40 + 8), request.u32(40 + 16));
                let bytes = &request.body()[40..40 + length as usize];
                let logged = if request.node() == MARK {
                    self.log(b'M', 0, bytes)
                } else {
                    self.image.write_all_at(bytes, offset).and_then(|()| self.log(b'W', offset, bytes))
                };
                logged.map_err(|_| Errno::EIO)?;
                Ok(words(&[length, 0]))
            }
            // FSYNC
            20 => self.log(b'F', 0, b"").map(|()| Vec::new()).map_err(|_| Errno::EIO),
            // STATFS
            17 => Ok([vec![0; 40], words(&[4096, 255, 4096]), vec![0; 28]].concat()),
            // FLUSH, RELEASE, RELEASEDIR, FSYNCDIR, ACCESS, DESTROY
            25 | 18 | 29 | 30 | 34 | 38 => Ok(Vec::new()),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn attributes(&self, node: u64) -> Result<Vec<u8>, Errno> {
        let (size, mode) = match node {
            TOP => (0, 0o040_755),
            DISK => (self.image.metadata().map_err(|_| Errno::EIO)?.len(), 0o100_600),
            _ => (0, 0o100_600),
        };
        let numbers = [node, size, size / 512, 0, 0, 0].map(u64::to_le_bytes).concat();
        Ok([numbers, words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])].concat())
    }

    fn log(&mut self, kind: u8, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).expect("a length");
        let head = [&[kind][..], &offset.to_le_bytes(), &length.to_le_bytes()].concat();
        self.log.write_all(&[&head, bytes].concat())
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
