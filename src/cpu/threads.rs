//! The worker threads of the CPU path. In a browser, or without the `cli` feature, everything runs on the caller.

use super::simd::Level;
use crate::Result;

/// A pool of a fixed number of threads, and the vector instructions they use.
#[derive(Clone)]
pub struct Threads {
    #[cfg(feature = "cli")]
    pool: Option<std::sync::Arc<rayon::ThreadPool>>,
    count: usize,
    level: Level,
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
        Ok(Threads { pool: Some(std::sync::Arc::new(pool)), ..Self::single() }.counting(count))
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
            level: Level::best(),
        }
    }

    #[cfg(feature = "cli")]
    fn counting(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// The same threads with other instructions; `None` when the processor lacks them.
    pub fn with_level(mut self, level: Level) -> Option<Self> {
        self.level = level;
        Level::available().contains(&level).then_some(self)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn level(&self) -> Level {
        self.level
    }

    /// Runs `work` on a thread of the pool, from where starting parallel work costs least.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "cli")]
        if let Some(pool) = &self.pool {
            return pool.install(work);
        }
        work()
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

    /// Calls `work` for every item, spread over the threads.
    pub fn for_each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Send + Sync) {
        #[cfg(feature = "cli")]
        if let Some(pool) = &self.pool
            && items.len() > 1
        {
            use rayon::prelude::*;
            pool.install(|| items.into_par_iter().with_max_len(1).for_each(&work));
            return;
        }
        items.into_iter().for_each(work);
    }
}
