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

/// A GGUF file of so many tensors and pairs.
fn gguf(tensors: u64, pairs: u64, body: &[u8]) -> Vec<u8> {
    [b"GGUF\x03\0\0\0", &tensors.to_le_bytes()[..], &pairs.to_le_bytes(), body].concat()
}

/// A line of GGUF's table of tensors.
fn gguf_tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let dims: Vec<u8> = [dims.len() as u32]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .chain(dims.iter().flat_map(|d| d.to_le_bytes()))
        .collect();
    let len = (name.len() as u64).to_le_bytes();
    [&len[..], name.as_bytes(), &dims, &kind.to_le_bytes(), &offset.to_le_bytes(), &[0; 96]].concat()
}

/// GGUF files; every one must be refused.
fn ggufs() -> Vec<(&'static str, Vec<u8>)> {
    // Without the zeros after each line, which are data of the last.
    let line = |name: &str, dims: &[u64], kind: u32, offset: u64| {
        let line = gguf_tensor(name, dims, kind, offset);
        line[..line.len() - 96].to_vec()
    };
    let two = |a: Vec<u8>, b: Vec<u8>| gguf(2, 0, &[a, b].concat());
    let key = |kind: u32, value: &[u8]| {
        let pair = [&1u64.to_le_bytes()[..], b"k", &kind.to_le_bytes(), value].concat();
        gguf(0, 1, &pair)
    };
    let pairs: Vec<u8> = (0..SIZE / 20)
        .flat_map(|i| [&7u64.to_le_bytes()[..], format!("{i:07}").as_bytes(), &[0; 5]].concat())
        .collect();
    vec![
        ("a GGUF of all the tensors there are", gguf(u64::MAX, 0, b"")),
        ("a GGUF of all the pairs there are", gguf(0, u64::MAX, b"")),
        ("a GGUF of tiny pairs", gguf(0, (SIZE / 20) as u64, &pairs)),
        ("a GGUF text beyond the end", key(8, &u64::MAX.to_le_bytes())),
        ("a GGUF array beyond the end", key(9, &[&10u32.to_le_bytes()[..], &(u64::MAX / 4).to_le_bytes()].concat())),
        ("GGUF arrays in arrays", key(9, &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(1000))),
        ("GGUF tensors across each other", two(line("a", &[8], 0, 0), gguf_tensor("b", &[8], 0, 0))),
        ("GGUF tensors of one name", two(line("a", &[8], 0, 0), gguf_tensor("a", &[8], 0, 32))),
        ("a GGUF tensor beyond the end", gguf(1, 0, &gguf_tensor("a", &[32], 0, u64::MAX - 31))),
        ("a GGUF tensor larger than memory", gguf(1, 0, &gguf_tensor("a", &[1 << 40, 1 << 40], 2, 0))),
        ("a GGUF tensor of half a block", gguf(1, 0, &gguf_tensor("a", &[48, 1], 2, 0))),
        ("a GGUF tensor of an unknown type", gguf(1, 0, &gguf_tensor("a", &[8], 5, 0))),
        ("a GGUF tensor of five dimensions", gguf(1, 0, &gguf_tensor("a", &[1; 5], 0, 0))),
        ("a GGUF tensor off its alignment", gguf(1, 0, &gguf_tensor("a", &[8], 0, 4))),
    ]
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
    let mut files = vec![
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
    ];
    files.extend(ggufs());
    files
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
