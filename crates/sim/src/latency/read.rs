//! Readers of delay matrices: King text and RTTM binary, either of them plain or inside gzip. The
//! content decides which it is, not the name of the file.
//!
//! **King text**: one row of the square matrix per line, columns apart by blanks, tabs or commas;
//! round trips from the row's node to the column's in microseconds; zero or negative: not measured.
//! Empty lines and lines that start with `#` do not count.
//!
//! **RTTM**: little-endian; magic `RTTM`, then u32 each: version 1, nodes, frames, unit in
//! nanoseconds, layout (0: full square, 1: strict upper triangle). Then for each frame one u16 per
//! entry, row by row; 65535 (and 0 off the diagonal): not measured. 65534 means "that or more" and
//! counts as that.
//!
//! A file that does not fit its format is refused whole. Memory grows with what was actually read,
//! never with what a header announces, and ends at [`NODES_MAX`] squared entries.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{DelayMatrix, MISSING, NODES_MAX, RTT_US_MAX, triangle_index};

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const RTTM_MAGIC: [u8; 4] = *b"RTTM";
const RTTM_VERSION: u32 = 1;
const RTTM_MISSING: u16 = u16::MAX;
const RTTM_VALUE_MAX: u16 = u16::MAX - 1;
const LAYOUT_FULL: u32 = 0;
const LAYOUT_UPPER: u32 = 1;
/// Most entries of all frames together, 1.6 GB in memory: one matrix of the most nodes.
const ENTRIES_MAX: usize = NODES_MAX * NODES_MAX;
/// Longest line of King text: the most entries at 24 bytes each, twice what a microsecond count needs.
const LINE_BYTES_MAX: u64 = 24 * NODES_MAX as u64;

/// A file that could not be used as a delay matrix.
#[derive(Debug, thiserror::Error)]
#[error("delay matrix {}: {cause}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; part of the message, hence no further `source`.
    pub cause: MatrixError,
}

/// What is wrong with the content of a delay matrix file.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// Opening, reading or decompressing failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The RTTM header or a frame ends early.
    #[error("ends in the middle of the {0}")]
    Truncated(&'static str),
    /// Bytes follow the last RTTM frame.
    #[error("has bytes behind the last frame that its header announces")]
    TrailingBytes,
    /// An RTTM header field has a value this reader does not know.
    #[error("header field {field} has the unsupported value {value}")]
    Header {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// All frames together have more entries than the bound.
    #[error("{nodes} nodes in {frames} frames are more than the {ENTRIES_MAX} entries supported")]
    TooLarge {
        /// Number of nodes.
        nodes: usize,
        /// Number of frames.
        frames: usize,
    },
    /// A text row is longer than the bound, in bytes or in entries.
    #[error("line {line} is too long: at most {NODES_MAX} nodes are supported")]
    LineTooLong {
        /// Line number from 1.
        line: usize,
    },
    /// A text entry is no number of microseconds up to the bound.
    #[error(
        "line {line}, column {column}: `{text}` is no round trip in microseconds up to {RTT_US_MAX}"
    )]
    Entry {
        /// Line number from 1.
        line: usize,
        /// Column number from 1.
        column: usize,
        /// The entry, shortened.
        text: String,
    },
    /// The rows of a text matrix do not form a square.
    #[error("is not square: {rows} rows, and row {row} has {columns} columns")]
    NotSquare {
        /// Number of rows found so far.
        rows: usize,
        /// The row that does not fit, from 1.
        row: usize,
        /// Its number of columns.
        columns: usize,
    },
    /// No pair of nodes has a measurement.
    #[error("holds no measurement between two nodes")]
    Empty,
}

impl DelayMatrix {
    /// Reads a file in any supported format; of several frames the first one counts.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let first = Self::read_frames(&path)?.into_iter().next();
        first.ok_or_else(|| ReadError { path: path.as_ref().into(), cause: MatrixError::Empty })
    }

    /// Reads all frames of a file, in the order of their measurement; King text has one.
    pub fn read_frames(path: impl AsRef<Path>) -> Result<Vec<Self>, ReadError> {
        let read = || parse(BufReader::new(File::open(&path)?));
        read().map_err(|cause| ReadError { path: path.as_ref().into(), cause })
    }
}

/// Parses a whole input; on success there is at least one frame, and each frame has a measurement.
fn parse(input: impl BufRead) -> Result<Vec<DelayMatrix>, MatrixError> {
    let (magic, input) = peek::<2>(input)?;
    if magic == GZIP_MAGIC {
        parse_plain(BufReader::new(MultiGzDecoder::new(input)))
    } else {
        parse_plain(input)
    }
}

fn parse_plain(input: impl BufRead) -> Result<Vec<DelayMatrix>, MatrixError> {
    let (magic, mut input) = peek::<4>(input)?;
    let frames =
        if magic == RTTM_MAGIC { parse_rttm(&mut input)? } else { vec![parse_text(&mut input)?] };
    let is_empty = |frame: &DelayMatrix| frame.rtt_us.iter().all(|&us| us == MISSING);
    if frames.iter().any(is_empty) { Err(MatrixError::Empty) } else { Ok(frames) }
}

/// Returns the first bytes, fewer at the end of the input, and the input with them still in front.
fn peek<const N: usize>(mut input: impl BufRead) -> io::Result<(Vec<u8>, impl BufRead)> {
    let mut first = Vec::with_capacity(N);
    input.by_ref().take(N as u64).read_to_end(&mut first)?;
    Ok((first.clone(), Cursor::new(first).chain(input)))
}

fn parse_rttm(input: &mut impl BufRead) -> Result<Vec<DelayMatrix>, MatrixError> {
    let mut header = [0; 24];
    input.read_exact(&mut header).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => MatrixError::Truncated("header"),
        _ => error.into(),
    })?;
    let field = |index: usize| {
        let bytes = &header[4 * index..4 * index + 4];
        u32::from_le_bytes(bytes.try_into().expect("the slice has four bytes"))
    };
    let [version, nodes, frames, unit_ns, layout] = [1, 2, 3, 4, 5].map(field);

    let unsupported = |field, value| Err(MatrixError::Header { field, value });
    let rtt_us = |value: u16| u64::from(value) * u64::from(unit_ns) / 1000;
    if version != RTTM_VERSION {
        return unsupported("version", version);
    }
    if nodes < 2 || nodes as usize > NODES_MAX {
        return unsupported("nodes", nodes);
    }
    if frames == 0 {
        return unsupported("frames", frames);
    }
    if unit_ns == 0 || rtt_us(RTTM_VALUE_MAX) > u64::from(RTT_US_MAX) {
        return unsupported("unit", unit_ns);
    }
    let (nodes, frames) = (nodes as usize, frames as usize);
    if (nodes * nodes).checked_mul(frames).is_none_or(|entries| entries > ENTRIES_MAX) {
        return Err(MatrixError::TooLarge { nodes, frames });
    }
    let (values_per_frame, index): (_, fn(usize, usize, usize) -> usize) = match layout {
        LAYOUT_FULL => (nodes * nodes, |nodes, i, j| i * nodes + j),
        LAYOUT_UPPER => (nodes * (nodes - 1) / 2, triangle_index),
        other => return unsupported("layout", other),
    };

    let mut matrices = Vec::new();
    for _ in 0..frames {
        let values = read_values(input, values_per_frame)?;
        matrices.push(DelayMatrix::from_rtt_fn(nodes, |i, j| match values[index(nodes, i, j)] {
            0 | RTTM_MISSING => None,
            value => u32::try_from(rtt_us(value)).ok(), // bounded by the check of the unit
        }));
    }
    if input.fill_buf()?.is_empty() { Ok(matrices) } else { Err(MatrixError::TrailingBytes) }
}

fn read_values(input: &mut impl BufRead, count: usize) -> Result<Vec<u16>, MatrixError> {
    let mut bytes = Vec::new();
    input.take(2 * count as u64).read_to_end(&mut bytes)?;
    if bytes.len() != 2 * count {
        return Err(MatrixError::Truncated("frames"));
    }
    Ok(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect())
}

fn parse_text(input: &mut impl BufRead) -> Result<DelayMatrix, MatrixError> {
    let mut entries: Vec<u32> = Vec::new();
    let (mut nodes, mut rows) = (0, 0);
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 == LINE_BYTES_MAX {
            return Err(MatrixError::LineTooLong { line });
        }
        let columns = parse_row(&String::from_utf8_lossy(&bytes), line, &mut entries)?;
        if columns == 0 {
            continue;
        }
        if rows == 0 {
            nodes = columns;
        }
        rows += 1;
        if columns != nodes || rows > nodes {
            return Err(MatrixError::NotSquare { rows, row: rows, columns });
        }
    }
    match nodes {
        0 => Err(MatrixError::Empty),
        _ if rows < nodes => Err(MatrixError::NotSquare { rows, row: 1, columns: nodes }),
        _ => Ok(DelayMatrix::from_rtt_fn(nodes, |i, j| {
            Some(entries[i * nodes + j]).filter(|&us| us != MISSING)
        })),
    }
}

/// Appends the entries of one line and returns how many there are.
fn parse_row(text: &str, line: usize, entries: &mut Vec<u32>) -> Result<usize, MatrixError> {
    if text.starts_with('#') {
        return Ok(0);
    }
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    let mut columns = 0;
    for word in words {
        columns += 1;
        if columns > NODES_MAX {
            return Err(MatrixError::LineTooLong { line });
        }
        entries.push(parse_entry(word).ok_or_else(|| MatrixError::Entry {
            line,
            column: columns,
            text: word.chars().take(20).collect(),
        })?);
    }
    Ok(columns)
}

/// Reads microseconds, whole or with decimals; some sets carry averages.
fn parse_entry(word: &str) -> Option<u32> {
    let us: f64 = word.parse().ok()?;
    if us.is_nan() || us.is_infinite() || us > f64::from(RTT_US_MAX) {
        return None;
    }
    Some(if us <= 0.0 { MISSING } else { us.round().max(1.0) as u32 })
}

#[cfg(test)]
mod tests;
