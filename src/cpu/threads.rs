//! The worker threads of the CPU path. In a browser, or without the `cli` feature, everything runs on the caller.

use crate::Result;

/// A pool of a fixed number of threads.
#[derive(Clone)]
pub struct Threads {
    #[cfg(feature = "cli")]
    pool: Option<std::sync::Arc<rayon::ThreadPool>>,
    count: usize,
}

impl Threads {
    /// `count` threads; 0 = all cores.
    #[cfg(feature = "cli")]
    pub fn new(count: usize) -> Result<Self> {
        let count = match count {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        if count == 1 {
            return Ok(Self::single());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(|e| {
            crate::Error::Usage(format!("cannot start {count} threads ({e}); use a smaller `--threads`"))
        })?;
        Ok(Threads { pool: Some(std::sync::Arc::new(pool)), count })
    }

    #[cfg(not(feature = "cli"))]
    pub fn new(_count: usize) -> Result<Self> {
        Ok(Self::single())
    }

    pub fn single() -> Self {
        Threads {
            #[cfg(feature = "cli")]
            pool: None,
            count: 1,
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Calls `work(index, chunk)` for every chunk of `chunk` elements of `data`, spread over the threads.
    pub fn for_chunks<T: Send>(&self, data: &mut [T], chunk: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) {
        let chunk = chunk.max(1);
        #[cfg(feature = "cli")]
        if let Some(pool) = &self.pool
            && data.len() > chunk
        {
            use rayon::prelude::*;
            pool.install(|| data.par_chunks_mut(chunk).enumerate().for_each(|(i, c)| work(i, c)));
            return;
        }
        for (i, c) in data.chunks_mut(chunk).enumerate() {
            work(i, c);
        }
    }
}
