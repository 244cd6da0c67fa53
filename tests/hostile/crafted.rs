//! Files that are small for what they ask for, written by someone who knows the format.

use super::corpus;

/// Bytes of the larger ones.
const SIZE: usize = 3 << 20;

fn chunk(field: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![field << 3 | 2];
    let mut len = bytes.len();
    while len > 0x7f {
        message.push(len as u8 | 0x80);
        len >>= 7;
    }
    message.push(len as u8);
    message.extend(bytes);
    message
}

fn onnx(graph: &[u8]) -> Vec<u8> {
    [b"\x08\x07".to_vec(), chunk(7, graph)].concat()
}

fn safetensors(json: &[u8]) -> Vec<u8> {
    [&(json.len() as u64).to_le_bytes(), json].concat()
}

fn torch(opcodes: &[u8]) -> Vec<u8> {
    let file = corpus::torch();
    // The state dictionary is the fourth pickle; the three before it are 15, 6 and 6 bytes long.
    [&file[..27], opcodes].concat()
}

fn resigned(json: &str) -> Vec<u8> {
    corpus::resigned(&corpus::fewbit(), |_| json.as_bytes().to_vec())
}

/// Name and content; every one must be refused.
pub fn models() -> Vec<(&'static str, Vec<u8>)> {
    let nothing = |i: usize| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
    let empty: Vec<String> = (0..SIZE / 60).map(nothing).collect();
    let name = |i: usize| [chunk(1, b"a"), chunk(2, format!("{i}").as_bytes())].concat();
    let nodes: Vec<u8> = (0..SIZE / 20).flat_map(|i| chunk(1, &name(i))).collect();
    let spec = |values: &str| {
        format!(
            "{{\"version\":1,\"graph\":{{\"name\":\"\",\"values\":[{values}],\"inputs\":[],\"outputs\":[],\"nodes\":[]}},\"weights\":[],\"sha256\":{{}},\"manifest\":{{}}}}"
        )
    };
    vec![
        ("a million empty nodes", onnx(&b"\x0a\x00".repeat(SIZE / 2))),
        ("a hundred thousand nodes without an operator", onnx(&nodes)),
        ("a million empty initialisers", onnx(&b"\x2a\x00".repeat(SIZE / 2))),
        ("messages in messages", (0..10_000).fold(Vec::new(), |inner, _| chunk(7, &inner[..inner.len().min(60)]))),
        ("fifty thousand empty tensors", safetensors(format!("{{{}}}", empty.join(",")).as_bytes())),
        ("a header of all the memory there is", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("a header larger than the file", [&99_999_999u64.to_le_bytes()[..], b"{}"].concat()),
        ("a deep header", safetensors(&[b"{\"a\":".to_vec(), b"[".repeat(SIZE)].concat())),
        ("a deep manifest", resigned(&"[".repeat(100_000))),
        ("a manifest of numbers", resigned(&format!("{{\"version\":1,\"a\":[{}1]}}", "1,".repeat(SIZE / 2)))),
        ("a manifest of values", resigned(&spec(&format!("{}\"\"", "\"\",".repeat(SIZE / 3))))),
        ("a manifest of another kind", resigned("7")),
        ("a million objects on the stack", torch(&b")".repeat(SIZE))),
        ("a deep tuple", torch(&[b"N".to_vec(), b"\x85".repeat(SIZE)].concat())),
        ("a list in itself", torch(b"]q\x00h\x00ah\x00a.")),
        ("a string beyond the end", torch(b"X\xff\xff\xff\xff")),
        ("code to run", torch(b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R.")),
    ]
}

/// JPEG files that take long to decode for their size.
pub fn photos() -> Vec<(&'static str, Vec<u8>)> {
    let segment =
        |marker: u8, body: &[u8]| [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat();
    // One code of one bit, with one symbol.
    let huffman = |kind: u8, symbol: u8| segment(0xc4, &[&[kind, 1][..], &[0; 15], &[symbol]].concat());
    let start = [&b"\xff\xd8"[..], &segment(0xdb, &[&[0][..], &[1; 64]].concat())].concat();
    let frame = |marker: u8, side: u16| {
        let side = side.to_be_bytes();
        segment(marker, &[&[8][..], &side, &side, b"\x01\x01\x11\x00"].concat())
    };
    // 2048×2048 pixels of nothing but zeros, then a refining scan that ends 27,306 blocks at once, three times.
    let flat = [segment(0xda, b"\x01\x01\x00\x00\x00\x00"), vec![0; 8192]].concat();
    let refine = [segment(0xda, b"\x01\x01\x00\x01\x3f\x21"), b"\x55\x54\xaa\xa9\x55\x57".to_vec()].concat();
    let tables = [huffman(0, 0), huffman(0x10, 0xe0)].concat();
    let slow =
        |scans: usize| [&start[..], &frame(0xc2, 2048), &tables, &flat, &refine.repeat(scans), b"\xff\xd9"].concat();
    vec![
        ("ninety scans that refine nothing", slow(90)),
        ("ten thousand scans", slow(10_000)),
        ("ten thousand tables", [&start[..], &frame(0xc0, 8), &tables.repeat(5_000), b"\xff\xd9"].concat()),
        ("a photo of all the memory there is", [&start[..], &frame(0xc0, 0xffff), b"\xff\xd9"].concat()),
    ]
}
