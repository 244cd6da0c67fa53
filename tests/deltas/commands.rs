//! The command line: deltas are made, shown, put on models and measured; models are blended.

use std::path::PathBuf;
use std::process::Command;

use fewbit::formats::npy;
use fewbit::graph::{Graph, Model};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::models::{dense_layers, named, random, tuned};

/// A folder that goes away again.
struct Folder(PathBuf);

impl Folder {
    fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn save(&self, name: &str, graph: &Graph) -> String {
        let path = self.file(name);
        Model { graph: graph.clone(), ..Model::default() }.save(&path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn fewbit(args: &[&str]) -> Result<Value, String> {
    let args = [args, &["--json", "--device", "cpu"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_fewbit")).args(&args).output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn commands() {
    let mut rng = StdRng::seed_from_u64(15);
    let (base, folder) =
        (dense_layers(&mut rng), Folder(std::env::temp_dir().join(format!("fewbit-deltas-{}", std::process::id()))));
    std::fs::create_dir_all(&folder.0).unwrap();
    let fine = tuned(&base, 0.01, &mut rng);
    let (a, b) = (folder.save("a.fewbit", &base), folder.save("b.fewbit", &fine));
    let [ternary, whole] = ["t.fewbit-delta", "w.fewbit-delta"].map(|name| folder.file(name));

    let made = fewbit(&["delta", "make", &a, &b, "--output", &ternary, "--kind", "compeft:0.05"]).unwrap();
    let values = 37 * 29 + 37 + 11 * 37;
    assert_eq!((made["values"].as_u64(), made["changed"].as_u64()), (Some(values), Some((values + 10) / 20)));
    assert_eq!(made["bytes"].as_u64(), Some(std::fs::metadata(&ternary).unwrap().len()));
    let shown = fewbit(&["inspect", &ternary]).unwrap();
    assert_eq!((&shown["base"], &shown["changed"], &shown["bytes"]), (&made["base"], &made["changed"], &made["bytes"]));
    assert!(shown["tensors"].as_array().unwrap().iter().all(|tensor| tensor["kind"] == "ternary"));

    // All values of a difference make the tuned model of the base, and no other model takes it.
    let made = fewbit(&["delta", "make", &a, &b, "--output", &whole, "--kind", "sparse:1"]).unwrap();
    assert_eq!(made["explained"].as_f64(), Some(1.0));
    let x = folder.file("x.npy");
    npy::save(&x, &random(&[4, 29], &mut rng)).unwrap();
    let run = |model: &str, deltas: &[&str]| -> Result<Vec<f32>, String> {
        let deltas: Vec<&str> = deltas.iter().flat_map(|delta| ["--delta", *delta]).collect();
        let (input, output) = (format!("x={x}"), folder.file("out"));
        fewbit(&[&["run", model, "--input", &input, "--output", &output][..], &deltas].concat())?;
        Ok(npy::open(PathBuf::from(output).join("second.npy")).unwrap().to_f32().unwrap())
    };
    assert_eq!(run(&a, &[&whole]).unwrap(), run(&b, &[]).unwrap());
    assert_ne!(run(&a, &[&ternary]).unwrap(), run(&a, &[]).unwrap());
    assert!(run(&b, &[&whole]).unwrap_err().contains("made for another model"));
    assert!(run(&a, &[&a]).unwrap_err().contains("not a delta"));
    assert!(run(&whole, &[]).unwrap_err().contains("is a delta"));
    let timed = fewbit(&["bench", &a, "--delta", &ternary, "--delta", &whole, "--repeat", "2"]).unwrap();
    assert!(timed["swap_ms"].as_f64().unwrap() > 0.0);

    let out = folder.file("out.fewbit");
    let floats = |path: &str| named(&Model::open(path).unwrap().graph, "first.weight");
    fewbit(&["convert", &a, "--delta", &whole, "--output", &out]).unwrap();
    assert_eq!(floats(&out), floats(&b));
    fewbit(&["convert", &a, "--soup", &b, "--alpha", "1", "--output", &out]).unwrap();
    assert_eq!(floats(&out), floats(&b));
    fewbit(&["convert", &a, "--soup", &b, "--output", &out]).unwrap();
    for (found, (a, b)) in floats(&out).iter().zip(floats(&a).iter().zip(floats(&b))) {
        assert_eq!(*found, f64::from(((a + b) / 2.0) as f32));
    }
    for args in [&["--alpha", "0.5"][..], &["--soup", &b, "--soup", &b, "--alpha", "0.5"]] {
        assert!(fewbit(&[&["convert", &a, "--output", &out][..], args].concat()).is_err());
    }
}
