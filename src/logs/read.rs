//! A log as blocks of whole lines, forwards from anything that reads and backwards from a file. Blocks are read, not
//! mapped: a mapped file costs a page fault where a read costs a copy, and counts as memory.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr};

/// Bytes read at once.
pub const BLOCK: usize = 128 * 1024;
/// A longer line is not read. The blocks leave out those that are longer by a block or more and count them; what is in
/// between is the caller's to leave out.
pub const LINE_MAX: usize = if cfg!(test) { 1 << 20 } else { 16 << 20 };

/// A stretch of a file, as it was when the reading began.
#[derive(Debug)]
pub struct Stretch<'f> {
    /// The file.
    pub file: &'f File,
    /// The next byte to read.
    pub at: u64,
    /// The first byte not to read.
    pub end: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..want], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Whole lines in a row.
#[derive(Debug)]
pub struct Block<'a> {
    /// The lines, each with its newline; a file's last line may lack one.
    pub bytes: &'a [u8],
    /// Where they begin.
    pub offset: u64,
}

/// Blocks from the beginning to the end.
pub struct Forward<R> {
    from: R,
    buffer: Vec<u8>,
    /// Where the buffer begins.
    offset: u64,
    /// How much of the buffer was handed out.
    used: usize,
    /// How much of it is filled.
    filled: usize,
    /// In the middle of a line that is too long.
    passing: bool,
    ended: bool,
    /// Lines that were too long.
    pub too_long: u64,
}

impl<R: Read> Forward<R> {
    /// Reads from here; `offset` is what the first byte's position is called.
    pub fn new(from: R, offset: u64) -> Self {
        Forward {
            from,
            buffer: vec![0; BLOCK + BLOCK / 4],
            offset,
            used: 0,
            filled: 0,
            passing: false,
            ended: false,
            too_long: 0,
        }
    }

    /// The next lines; `None` at the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block<'_>>> {
        self.buffer.copy_within(self.used..self.filled, 0);
        self.offset += self.used as u64;
        (self.filled, self.used) = (self.filled - self.used, 0);
        loop {
            if self.ended {
                if self.filled == 0 {
                    return Ok(None);
                }
                self.used = self.filled;
                return Ok(Some(Block { bytes: &self.buffer[..self.filled], offset: self.offset }));
            }
            if self.filled + BLOCK / 4 > self.buffer.len() {
                // One line fills it all.
                if self.filled > LINE_MAX + BLOCK {
                    self.too_long += 1;
                    self.passing = true;
                    self.offset += self.filled as u64;
                    self.filled = 0;
                    self.buffer.truncate(BLOCK + BLOCK / 4);
                    self.buffer.shrink_to_fit();
                } else {
                    let size = (self.buffer.len() * 2).min(LINE_MAX + 2 * BLOCK);
                    self.buffer.resize(size, 0);
                }
            }
            let space = self.filled..self.buffer.len().min(self.filled + BLOCK);
            let read = match self.from.read(&mut self.buffer[space]) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.ended = read == 0;
            let mut fresh = self.filled;
            self.filled += read;
            if self.passing {
                let Some(end) = memchr(b'\n', &self.buffer[..self.filled]) else {
                    self.offset += self.filled as u64;
                    self.filled = 0;
                    continue;
                };
                self.passing = false;
                self.buffer.copy_within(end + 1..self.filled, 0);
                self.offset += end as u64 + 1;
                self.filled -= end + 1;
                fresh = 0;
            }
            if let Some(end) = memrchr(b'\n', &self.buffer[fresh..self.filled]) {
                self.used = fresh + end + 1;
                return Ok(Some(Block { bytes: &self.buffer[..self.used], offset: self.offset }));
            }
        }
    }
}

/// Blocks from the end to the beginning.
pub struct Backward<'f> {
    file: &'f File,
    start: u64,
    /// Everything from here on was read.
    at: u64,
    buffer: Vec<u8>,
    /// The tail of a line whose beginning was not read yet, at the front of the buffer.
    carry: usize,
    passing: bool,
    /// Lines that were too long.
    pub too_long: u64,
}

impl<'f> Backward<'f> {
    /// Reads `start..end`; `start` begins a line.
    pub fn new(file: &'f File, start: u64, end: u64) -> Self {
        Backward { file, start, at: end, buffer: Vec::new(), carry: 0, passing: false, too_long: 0 }
    }

    /// The lines before; `None` at the beginning.
    pub fn next_block(&mut self) -> io::Result<Option<Block<'_>>> {
        loop {
            if self.at == self.start {
                let carry = std::mem::take(&mut self.carry);
                return Ok((carry > 0).then(|| Block { bytes: &self.buffer[..carry], offset: self.start }));
            }
            let size = usize::try_from(self.at - self.start).unwrap_or(BLOCK).min(BLOCK);
            let mut filled = size + self.carry;
            if self.buffer.len() < filled {
                self.buffer.resize(filled.max(BLOCK + BLOCK / 4), 0);
            }
            self.buffer.copy_within(..self.carry, size);
            self.at -= size as u64;
            self.file.read_exact_at(&mut self.buffer[..size], self.at)?;
            if self.passing {
                // What is too long goes as far as the newline before it.
                let Some(end) = memrchr(b'\n', &self.buffer[..size]) else { continue };
                self.passing = false;
                filled = end + 1;
            }
            let first = match memchr(b'\n', &self.buffer[..filled]) {
                _ if self.at == self.start => 0,
                Some(end) => end + 1,
                None => filled,
            };
            if first < filled {
                self.carry = first;
                return Ok(Some(Block { bytes: &self.buffer[first..filled], offset: self.at + first as u64 }));
            }
            self.carry = filled;
            if filled > LINE_MAX + BLOCK {
                self.too_long += 1;
                self.passing = true;
                self.carry = 0;
                self.buffer.truncate(BLOCK + BLOCK / 4);
                self.buffer.shrink_to_fit();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    type Lines = Vec<(u64, Vec<u8>)>;

    /// Lines as (offset, bytes without newline), by both ways, with the lines that were too long.
    fn both(content: &[u8]) -> (Lines, Lines, u64, u64) {
        let path = std::env::temp_dir().join(format!("opsctl-read-{}-{}", std::process::id(), fastrand::u64(..)));
        File::create(&path).unwrap().write_all(content).unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines = |block: &Block<'_>| {
            let mut at = block.offset;
            let mut lines = Vec::new();
            for line in block.bytes.split_inclusive(|b| *b == b'\n') {
                lines.push((at, line.strip_suffix(b"\n").unwrap_or(line).to_vec()));
                at += line.len() as u64;
            }
            lines
        };
        let end = content.len() as u64;
        let (mut long, mut long_too) = (0, 0);
        let short = |lines: Vec<(u64, Vec<u8>)>, long: &mut u64| -> Vec<(u64, Vec<u8>)> {
            let all = lines.len();
            let short: Vec<_> = lines.into_iter().filter(|(_, line)| line.len() <= LINE_MAX).collect();
            *long += (all - short.len()) as u64;
            short
        };
        let mut forward = Forward::new(Stretch { file: &file, at: 0, end }, 0);
        let mut forwards = Vec::new();
        while let Some(block) = forward.next_block().unwrap() {
            forwards.extend(short(lines(&block), &mut long));
        }
        let mut backward = Backward::new(&file, 0, end);
        let mut backwards = Vec::new();
        while let Some(block) = backward.next_block().unwrap() {
            let mut some = short(lines(&block), &mut long_too);
            some.reverse();
            backwards.extend(some);
        }
        backwards.reverse();
        (forwards, backwards, long + forward.too_long, long_too + backward.too_long)
    }

    #[test]
    fn both_ways_see_the_same_lines() {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..60 {
            let mut content = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..random.usize(0..400) {
                let length = match random.u8(0..20) {
                    0 => random.usize(0..3 * BLOCK),
                    1 => 0,
                    _ => random.usize(0..3000),
                };
                let line = vec![b'a' + random.u8(0..26); length];
                expected.push((content.len() as u64, line.clone()));
                content.extend_from_slice(&line);
                content.push(b'\n');
            }
            if round % 2 == 0 {
                expected.push((content.len() as u64, b"torn".to_vec()));
                content.extend_from_slice(b"torn");
            }
            let (forwards, backwards, ..) = both(&content);
            assert!(forwards == expected && backwards == expected, "round {round}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_and_counted() {
        for more in [1, BLOCK / 2, BLOCK + 1, 3 * BLOCK] {
            passes_over(&vec![b'x'; LINE_MAX + more]);
        }
    }

    fn passes_over(long: &[u8]) {
        for (count, content) in [
            (1, [b"before\n".as_slice(), long, b"\nafter\n"].concat()),
            (2, [b"before\n".as_slice(), long, b"\n", long, b"\nafter\n"].concat()),
        ] {
            let (forwards, backwards, passed, passed_too) = both(&content);
            let lengths: Vec<_> = forwards.iter().map(|(_, line)| line.len()).collect();
            assert_eq!(lengths, ["before".len(), "after".len()]);
            assert!(forwards == backwards);
            assert_eq!((passed, passed_too), (count, count));
        }
        let (forwards, backwards, passed, passed_too) = both(&[b"before\n".as_slice(), long].concat());
        assert_eq!((forwards.len(), backwards.len(), passed, passed_too), (1, 1, 1, 1));
    }
}
