//! Matrix files of both formats; malformed ones are refused.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;
use crate::latency::FILE_VARIABLE;

/// Header fields after the magic: version, nodes, frames, unit in nanoseconds, layout.
fn rttm(header: [u32; 5], values: &[u16]) -> Vec<u8> {
    let header = header.iter().flat_map(|field| field.to_le_bytes());
    let values = values.iter().flat_map(|value| value.to_le_bytes());
    RTTM_MAGIC.into_iter().chain(header).chain(values).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes all bytes");
    encoder.finish().expect("a Vec takes all bytes")
}

fn king_text(matrix: &DelayMatrix) -> String {
    let mut text = String::new();
    for i in 0..matrix.nodes() {
        for j in 0..matrix.nodes() {
            let entry = matrix.measured_rtt_us(i, j).map_or(-1, i64::from);
            write!(text, "{entry} ").expect("a String takes all text");
        }
        text.push('\n');
    }
    text
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes).expect_err("the input is malformed").to_string()
}

#[test]
fn unit_sm_02_matrix_formats_are_read() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the scratch folder is writable");
        DelayMatrix::read(path).expect("the file is well-formed")
    };
    let expected = DelayMatrix::from_rtt_fn(3, |i, j| match (i, j) {
        (0, 1) | (1, 0) => Some(12_300),
        (1, 2) | (2, 1) => Some(45_600),
        _ => None,
    });

    let text = b"0 12300 -1\n12300 0 45600\n0 45600 0\n";
    assert_eq!(read("king", text), expected);
    assert_eq!(read("king.gz", &gzip(text)), expected);
    let loose = b"# king, in us\r\n\r\n0,\t12300.2,-1\r\n 12300 0 45600\r\n-5 45599.6 0";
    assert_eq!(read("king.csv", loose), expected);

    let full = [0, 123, 65535, 123, 0, 456, 0, 456, 0];
    let full = rttm([1, 3, 1, 100_000, LAYOUT_FULL], &full);
    assert_eq!(read("full.rtt", &full), expected);
    assert_eq!(read("full.rtt.gz", &gzip(&full)), expected);
    let upper = rttm([1, 3, 1, 100_000, LAYOUT_UPPER], &[123, 65535, 456]);
    assert_eq!(read("upper.rtt", &upper), expected);
}

#[test]
fn unit_sm_02_a_measured_set_is_read() {
    let Some(file) = std::env::var_os(FILE_VARIABLE).map(PathBuf::from) else {
        println!("{FILE_VARIABLE} is not set: no measured set is read");
        return;
    };
    let frames = DelayMatrix::read_frames(&file).expect("the set is readable");
    let matrix = DelayMatrix::read(&file).expect("the set is readable");
    let statistics = matrix.statistics();
    println!("{}: {} frames, {statistics:?}", file.display(), frames.len());
    let text = king_text(&matrix);
    assert_eq!(parse(text.as_bytes()).expect("King text is readable"), [matrix]);
    // File, nodes, and median and mean in ms as published with the files.
    let published = [
        ("planetlab490-median.rtt.gz", 490, 133.9, 145.1),
        ("wonder242-2018.rtt.gz", 242, 142.8, 156.2),
        ("wonder227-2022.rtt.gz", 227, 134.1, 142.6),
        ("king-like-1740.rtt.gz", 1740, 160.5, 179.2),
    ];
    for (_, nodes, median_ms, mean_ms) in published.iter().filter(|set| file.ends_with(set.0)) {
        assert_eq!(statistics.nodes, *nodes);
        assert!((f64::from(statistics.rtt_us_median) / 1000.0 - median_ms).abs() < 0.1);
        assert!((statistics.rtt_us_mean / 1000.0 - mean_ms).abs() < 0.1);
    }
    if file.ends_with("seattle99-688frames.rtt.gz") {
        assert_eq!(frames.len(), 688);
    }
}

#[test]
fn frames_follow_each_other() {
    let two = rttm([1, 2, 2, 1_000_000, LAYOUT_UPPER], &[5, 65534]);
    let frames = parse(two.as_slice()).expect("the input is well-formed");
    let delays: Vec<_> = frames.iter().map(|frame| frame.rtt_us(1, 0)).collect();
    assert_eq!(delays, [5_000, 65_534_000]);
}

#[test]
fn malformed_binary_is_refused_with_the_reason() {
    let good = [1, 3, 1, 100_000, LAYOUT_UPPER];
    let with = |field: usize, value: u32| {
        let mut header = good;
        header[field] = value;
        refusal(&rttm(header, &[1, 2, 3]))
    };
    assert_eq!(with(0, 2), "header field version has the unsupported value 2");
    assert_eq!(with(1, 1), "header field nodes has the unsupported value 1");
    assert_eq!(with(1, 20_001), "header field nodes has the unsupported value 20001");
    assert_eq!(with(2, 0), "header field frames has the unsupported value 0");
    assert_eq!(with(3, 0), "header field unit has the unsupported value 0");
    assert_eq!(with(3, 10_000_000), "header field unit has the unsupported value 10000000");
    assert_eq!(with(4, 2), "header field layout has the unsupported value 2");
    assert!(with(2, u32::MAX).contains("in 4294967295 frames are more than"));

    assert_eq!(refusal(b"RTTM\x01"), "ends in the middle of the header");
    assert_eq!(refusal(&rttm(good, &[1, 2])), "ends in the middle of the frames");
    // An announced giant costs nothing but what is there.
    let giant = rttm([1, 20_000, 1, 100_000, LAYOUT_FULL], &[1]);
    assert_eq!(refusal(&giant), "ends in the middle of the frames");
    assert!(refusal(&rttm(good, &[1, 2, 3, 4])).contains("behind the last frame"));
    assert!(refusal(&rttm(good, &[0, 65535, 0])).contains("no measurement"));
    let zipped = gzip(&rttm(good, &[1, 2, 3]));
    assert!(refusal(&zipped[..zipped.len() - 4]).starts_with("cannot be read"));
}

#[test]
fn malformed_text_is_refused_with_the_reason() {
    let entry = refusal(b"0 5\n5 x7\n");
    assert_eq!(entry, "line 2, column 2: `x7` is no round trip in microseconds up to 100000000");
    for word in ["nan", "inf", "-inf", "1e9", "\u{fffd}", "0x10"] {
        assert!(refusal(format!("0 {word}\n1 0\n").as_bytes()).contains("no round trip"), "{word}");
    }
    assert_eq!(refusal(b"0 1\n1\n"), "is not square: 2 rows, and row 2 has 1 columns");
    assert_eq!(refusal(b"0 1\n1 0\n0 1\n"), "is not square: 3 rows, and row 3 has 2 columns");
    assert_eq!(refusal(b"0 1 1\n1 0 1\n"), "is not square: 2 rows, and row 1 has 3 columns");
    for nothing in [&b""[..], b"# only words\n", b"0\n", b"0 -1\n0 0\n"] {
        assert_eq!(refusal(nothing), "holds no measurement between two nodes");
    }
    let wide = "1 ".repeat(NODES_MAX + 1);
    assert!(refusal(wide.as_bytes()).starts_with("line 1 is too long"));
    let long = " ".repeat(LINE_BYTES_MAX as usize);
    assert!(refusal(long.as_bytes()).starts_with("line 1 is too long"));
}

#[test]
fn absent_file_is_named() {
    let error = DelayMatrix::read("no/such/matrix").expect_err("there is no such file");
    assert!(error.to_string().starts_with("delay matrix no/such/matrix: cannot be read"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        magic in prop_oneof![Just(&b""[..]), Just(&b"RTTM\x01\0\0\0"[..]), Just(&b"\x1f\x8b\x08"[..])],
        tail in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [magic, &tail].concat();
        for frame in parse(bytes.as_slice()).unwrap_or_default() {
            prop_assert!(frame.one_way(0, 1).as_micros() > 0);
        }
    }

    #[test]
    fn text_of_a_matrix_gives_the_matrix_back(
        rtts in proptest::collection::vec(proptest::option::of(1..=RTT_US_MAX), 36),
    ) {
        let matrix = DelayMatrix::from_rtt_fn(6, |i, j| rtts[6 * i + j]);
        let measured = (0..36).any(|at| at % 7 != 0 && rtts[at].is_some());
        prop_assume!(measured);
        prop_assert_eq!(parse(king_text(&matrix).as_bytes()).expect("well-formed"), [matrix]);
    }
}
