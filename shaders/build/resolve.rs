//! Where imports are found, and what they are called: `package::a::b` is `shaders/a/b.wgsl`, `package::decode::stage` the
//! decode stage of the permutation that is being built, and `package::decode::values` the one that this holds.

use std::borrow::Cow;
use std::path::Path;

use wesl::syntax::ModulePath;
use wesl::{FileResolver, Mangler, ResolveError, Resolver};

use super::permute::Stage;

pub struct Stages {
    files: FileResolver,
    stage: Option<Stage>,
}

impl Stages {
    pub fn new(dir: &Path, stage: Option<Stage>) -> Self {
        let mut files = FileResolver::new(dir);
        files.set_extension("wgsl");
        Stages { files, stage }
    }
}

impl Resolver for Stages {
    fn resolve_source<'a>(&'a self, path: &ModulePath) -> Result<Cow<'a, str>, ResolveError> {
        let mut path = path.clone();
        if let ([folder, file], Some(stage)) = (path.components.as_mut_slice(), &self.stage)
            && folder == "decode"
        {
            match (file.as_str(), &stage.held) {
                ("stage", _) => file.clone_from(&stage.file),
                ("values", Some(held)) => file.clone_from(held),
                _ => {}
            }
        }
        self.files.resolve_source(&path)
    }
}

/// What a stage and one that it holds both define.
const OF_STAGES: [&str; 4] = ["raw8", "span", "weights8", "inputs8"];

/// Names stay as written; two imported items of one name fail naga's check.
pub struct Names;

impl Mangler for Names {
    fn mangle(&self, path: &ModulePath, item: &str) -> String {
        let held = matches!(path.components.as_slice(), [folder, file] if folder == "decode" && file == "values");
        if held && OF_STAGES.contains(&item) { format!("{item}_of_values") } else { item.to_string() }
    }
}
