//! Where imports are found: `package::a::b` is `shaders/a/b.wgsl`, and `package::decode::stage` the decode stage of the
//! permutation that is being built.

use std::borrow::Cow;
use std::path::Path;

use wesl::syntax::ModulePath;
use wesl::{FileResolver, ResolveError, Resolver};

pub struct Stages {
    files: FileResolver,
    stage: Option<String>,
}

impl Stages {
    pub fn new(dir: &Path, stage: Option<String>) -> Self {
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
            && file == "stage"
        {
            file.clone_from(stage);
        }
        self.files.resolve_source(&path)
    }
}
