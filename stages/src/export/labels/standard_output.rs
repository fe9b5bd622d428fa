//! Standard output in the place of a file. A reader that has seen enough, such as `head`, is no error.

use std::io::{self, BufWriter, ErrorKind, Write};

use pipeline::error::{Error, OrFail, Result};

/// Writes to standard output.
///
/// # Errors
/// It cannot be written, such as a full disk that it leads to; the writer fails.
pub(super) fn write(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut out = BufWriter::new(Forgiving(io::stdout().lock()));
    write(&mut out)?;
    out.flush().or_fail(|| Error::new("cannot write to standard output"))
}

/// A writer to which a reader that went away is as good as one that reads on.
struct Forgiving<W>(W);

impl<W: Write> Write for Forgiving<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error_and_a_full_disk_is_one() {
        struct Fails(ErrorKind);
        impl Write for Fails {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(self.0.into())
            }
        }
        let mut head = Forgiving(Fails(ErrorKind::BrokenPipe));
        assert!(head.write_all(b"id\n").is_ok() && head.flush().is_ok());
        let mut full = Forgiving(Fails(ErrorKind::StorageFull));
        assert!(full.write_all(b"id\n").is_err() && full.flush().is_err());
    }
}
