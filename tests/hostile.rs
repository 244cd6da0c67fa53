//! Broken and malicious files: each gives a model or an error, within a second, without a panic, and without memory
//! out of proportion to the file. What opens is also planned and run, within a memory limit.

#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/crafted.rs"]
mod crafted;
#[path = "hostile/heap.rs"]
mod heap;
#[path = "hostile/mutate.rs"]
mod mutate;
#[path = "whisper/ct2.rs"]
mod whisper_ct2;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fewbit::deltas::{Base, Delta};
use fewbit::formats::{ct2, delta, gguf, hf, npy, onnx, peft, torch_legacy};
use fewbit::graph::{Dim, Graph, Model, Weight};
use fewbit::runtime::{Device, Session};
use fewbit::tensor::{DType, Tensor, TensorType};
use fewbit::vision::Photo;
use mutate::{Random, mutate, nudge};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Mutations of each kind of file.
const ROUNDS: usize = 400;

/// Memory that is not counted against a file.
const FREE: usize = 1 << 20;

/// What a photo may take whatever its file: four million pixels in the widest format, twice.
const FREE_PHOTO: usize = 128 << 20;

/// What sound may take whatever its file: buffers of the decoders, and a second of it.
#[cfg(feature = "audio")]
const FREE_SOUND: usize = 16 << 20;

const RUN_LIMIT: usize = 16 << 20;

#[derive(Clone, Copy)]
enum Parser {
    Model,
    /// GGUF that comes in pieces.
    Stream,
    Tensor,
    Npy,
    Photo,
    Folder,
    Delta,
    /// A folder of an adapter for the tensors of `corpus::adapted`.
    Adapter,
    #[cfg(feature = "audio")]
    Sound,
    Speech,
}

/// `config.json` and the weights of a folder in one file (`corpus::folder`).
fn parts(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, rest)) = bytes.split_first_chunk() else { return (b"", b"") };
    rest.split_at((u32::from_le_bytes(*len) as usize).min(rest.len()))
}

fn folder(bytes: &[u8]) -> Result<Model, fewbit::Error> {
    let (config, weights) = parts(bytes);
    hf::from_bytes("hostile", config, weights)
}

/// Most values of a base that is made for a delta.
const BASE: usize = 1 << 15;

/// A delta, put on zeros of the shapes that it names, if they are small.
fn changed(bytes: &[u8]) -> Result<Model, fewbit::Error> {
    let delta = delta::read("hostile", bytes.len() as u64, &mut &*bytes)?;
    let mut graph = Graph::default();
    let mut left = BASE;
    for (name, change) in &delta.changes {
        let dtype = change.parts().first().map_or(DType::F32, |(part, tensor)| match *part {
            "tensor" => tensor.dtype(),
            _ => DType::F32,
        });
        let ty = TensorType::new(dtype, change.shape());
        let Some(rest) = left.checked_sub(ty.len()) else { return Ok(Model::default()) };
        left = rest;
        graph.add_weight(name.clone(), Weight::Dense(Tensor::zeros(ty)?));
    }
    let delta = Delta { base: None, ..delta };
    let graph = Base::new(&graph).apply(&[&delta, &delta], Device::cpu(1)?.threads())?;
    Ok(Model { graph, ..Model::default() })
}

fn adapter(bytes: &[u8]) -> Result<Model, fewbit::Error> {
    let ((config, weights), graph) = (parts(bytes), corpus::adapted());
    let delta = peft::from_bytes("hostile", config, weights, &graph)?;
    let graph = Base::new(&graph).apply(&[&delta], Device::cpu(1)?.threads())?;
    Ok(Model { graph, ..Model::default() })
}

/// Reads sound a second at a time, as far as one minute.
#[cfg(feature = "audio")]
fn sound(bytes: &[u8]) -> Result<(), fewbit::Error> {
    let mut sound = fewbit::audio::Sound::from_bytes("hostile", bytes.to_vec())?;
    for _ in 0..60 {
        let mut samples = Vec::new();
        sound.fill(&mut samples, fewbit::audio::RATE as usize)?;
    }
    Ok(())
}

/// A GGUF file in pieces of ragged sizes.
fn stream(bytes: &[u8]) -> Result<Model, fewbit::Error> {
    let mut incoming = gguf::Incoming::new("hostile");
    bytes.chunks(301).try_for_each(|chunk| incoming.push(chunk))?;
    incoming.finish()
}

/// Reads a file, and says how much memory that took.
fn consume(parser: Parser, bytes: &[u8]) -> (Result<Option<Model>, fewbit::Error>, usize) {
    heap::peak(|| match parser {
        Parser::Model => Model::from_bytes("hostile", bytes).map(Some),
        Parser::Stream => stream(bytes).map(Some),
        Parser::Tensor => onnx::read_tensor(bytes).map(|_| None),
        Parser::Npy => npy::read("hostile", bytes).map(|_| None),
        Parser::Photo => Photo::decode("hostile", bytes).map(|_| None),
        Parser::Folder => folder(bytes).map(Some),
        Parser::Delta => changed(bytes).map(Some),
        Parser::Adapter => adapter(bytes).map(Some),
        #[cfg(feature = "audio")]
        Parser::Sound => sound(bytes).map(|()| None),
        Parser::Speech => {
            ct2::read("hostile", bytes.len() as u64, bytes).map(|graph| Some(Model { graph, ..Model::default() }))
        }
    })
}

/// Runs a model on zeros; every unknown dimension is 2.
fn run(model: &Model) -> Result<(), fewbit::Error> {
    let graph = &model.graph;
    let mut inputs = Vec::new();
    for &id in &graph.inputs {
        let value = graph.value(id);
        let dims = value.dims.iter().flatten().map(|dim| match dim {
            Dim::Known(size) => *size,
            Dim::Symbol(_) => 2,
        });
        let Some(dtype) = value.dtype else { return Ok(()) };
        let ty = TensorType::new(dtype, dims.collect::<Vec<_>>());
        if ty.bytes() > RUN_LIMIT {
            return Ok(());
        }
        inputs.push((value.name.clone(), Tensor::zeros(ty)?));
    }
    let mut session = Session::new(model, &Device::cpu(1)?)?;
    session.set_memory_limit(RUN_LIMIT);
    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    session.run(&inputs).map(|_| ())
}

/// How far a file got.
struct Verdict {
    opened: bool,
    ran: bool,
}

/// How long this thread has computed, so that other work of a busy machine does not count; elsewhere than on Linux, the time.
fn computed(since: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = stat.and_then(|stat| stat.split(' ').next()?.parse().ok());
    nanoseconds.filter(|&nanoseconds| nanoseconds > 0).map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// What is wrong with how a file was received, if anything. A slow machine gets three tries at the second.
fn judge(parser: Parser, bytes: &[u8]) -> Result<Verdict, String> {
    let free = match parser {
        Parser::Photo => FREE_PHOTO,
        #[cfg(feature = "audio")]
        Parser::Sound => FREE_SOUND,
        _ => FREE,
    };
    let mut times = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let started = computed(began);
        let attempt = catch_unwind(AssertUnwindSafe(|| {
            let (result, peak) = consume(parser, bytes);
            let ran = result.as_ref().ok().and_then(Option::as_ref).is_some_and(|model| run(model).is_ok());
            (result.is_ok(), ran, peak)
        }));
        let (opened, ran, peak) = attempt.map_err(|p| {
            let text = p.downcast_ref::<String>().cloned();
            format!("panics: {}", text.or(p.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default())
        })?;
        if peak > 4 * bytes.len() + free {
            return Err(format!("takes {peak} bytes for a file of {}", bytes.len()));
        }
        let time = computed(began) - started;
        if time < Duration::from_secs(1) {
            return Ok(Verdict { opened, ran });
        }
        times.push(time);
    }
    Err(format!("takes {times:?}"))
}

#[test]
fn every_broken_file_is_received_well() {
    corpus_is_valid();
    let fewbit = corpus::fewbit();
    let mut files = vec![
        ("fewbit", Parser::Model, fewbit.clone()),
        ("onnx", Parser::Model, corpus::onnx()),
        ("safetensors", Parser::Model, corpus::plain_safetensors()),
        ("torch", Parser::Model, corpus::torch()),
        ("tensor", Parser::Tensor, corpus::tensor_proto()),
        ("npy", Parser::Npy, corpus::npy()),
        ("gguf", Parser::Model, corpus::gguf()),
        ("gguf in pieces", Parser::Stream, corpus::gguf()),
        ("nbits", Parser::Model, corpus::nbits()),
        ("delta", Parser::Delta, corpus::delta()),
        ("adapter", Parser::Adapter, corpus::adapter()),
    ];
    files.extend(corpus::FOLDERS.map(|folder| (folder.0, Parser::Folder, corpus::folder(folder))));
    files.push(("ct2", Parser::Speech, corpus::ct2()));
    #[cfg(feature = "audio")]
    files.extend(corpus::SOUNDS.map(|name| (name, Parser::Sound, corpus::sound(name))));
    files.extend(corpus::photos().into_iter().map(|(name, file)| (name, Parser::Photo, file)));
    // More for a longer search than a test run has time for.
    let rounds = std::env::var("FEWBIT_HOSTILE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(ROUNDS);
    // Panics are reported below, with the file that caused them.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut random = Random(1);
    let mut failures = Vec::new();
    let mut count = 0;
    for (i, (name, parser, file)) in files.iter().enumerate() {
        let (mut opened, mut ran) = (0, 0);
        for round in 0..rounds {
            let other = &files[(i + round) % files.len()].2;
            let broken = match (*name, round % 4) {
                // Behind the hashes lies the manifest: half of the containers carry the right hashes.
                ("fewbit", 0) => corpus::resigned(&fewbit, |json| mutate(&mut random, json, json)),
                ("fewbit", 1) => corpus::resigned(&fewbit, |json| nudge(&mut random, json)),
                ("delta", 0) => corpus::resigned_delta(file, |json| mutate(&mut random, json, json)),
                ("delta", 1) => corpus::resigned_delta(file, |json| nudge(&mut random, json)),
                (_, 0 | 2) => mutate(&mut random, file, other),
                _ => nudge(&mut random, file),
            };
            count += 1;
            match judge(*parser, &broken) {
                Ok(verdict) => {
                    opened += usize::from(verdict.opened);
                    ran += usize::from(verdict.ran);
                }
                Err(what) => {
                    let path = std::env::temp_dir().join(format!("fewbit-hostile-{name}-{round}"));
                    std::fs::write(&path, &broken).ok();
                    failures.push(format!("{} {what}", path.display()));
                }
            }
        }
        println!("{name}: {opened} of {rounds} opened, {ran} ran");
    }
    for (name, file) in crafted::models() {
        for (how, parser) in [("at once", Parser::Model), ("in pieces", Parser::Stream)] {
            match judge(parser, &file) {
                Ok(verdict) if !verdict.opened => {}
                Ok(_) => failures.push(format!("{name} {how}: accepted")),
                Err(what) => failures.push(format!("{name} {how}: {what}")),
            }
        }
    }
    for (name, file) in crafted::photos() {
        match judge(Parser::Photo, &file) {
            // The first is a valid file.
            Ok(verdict) if verdict.opened == name.starts_with("ninety") => {}
            Ok(_) => failures.push(format!("{name}: accepted or refused wrongly")),
            Err(what) => failures.push(format!("{name}: {what}")),
        }
    }
    std::panic::set_hook(hook);
    assert!(count >= 2000);
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

/// Called by the one test of this binary: a second one would run beside it and be counted by the allocator.
fn corpus_is_valid() {
    for file in [corpus::fewbit(), corpus::onnx()] {
        run(&Model::from_bytes("corpus", &file).unwrap()).unwrap();
    }
    assert!(corpus::resigned(&corpus::fewbit(), <[u8]>::to_vec) == corpus::fewbit());
    for file in [corpus::plain_safetensors(), corpus::gguf(), corpus::nbits()] {
        Model::from_bytes("corpus", &file).unwrap();
    }
    consume(Parser::Speech, &corpus::ct2()).0.unwrap();
    #[cfg(feature = "audio")]
    for name in corpus::SOUNDS {
        sound(&corpus::sound(name)).unwrap();
    }
    stream(&corpus::gguf()).unwrap();
    assert!(corpus::resigned_delta(&corpus::delta(), <[u8]>::to_vec) == corpus::delta());
    changed(&corpus::delta()).unwrap();
    adapter(&corpus::adapter()).unwrap();
    for files in corpus::FOLDERS {
        folder(&corpus::folder(files)).unwrap();
    }
    onnx::read_tensor(&corpus::tensor_proto()).unwrap();
    npy::read("corpus", &corpus::npy()).unwrap();
    for (name, photo) in corpus::photos() {
        Photo::decode(name, &photo).unwrap();
    }
    let tensors = torch_legacy::read("corpus", &corpus::torch()).unwrap();
    assert_eq!(tensors["layer.weight"].slice::<f32>().unwrap(), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
}
