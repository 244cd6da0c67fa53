//! The worker threads of the CPU path. In a browser, or without the `cli` feature, everything runs on the caller.
//!
//! A small network is dozens of parallel stretches of some 100 µs; a thread that fell asleep in between would wake too
//! late for the next one. So the others stay awake and look for work while a run lasts (`install`), and a stretch is
//! flat: whoever comes takes the next index, nobody waits but the caller.

#[cfg(feature = "cli")]
use std::cell::Cell;
use std::sync::Mutex;
#[cfg(feature = "cli")]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
        // Who makes the pool is usually who uses it: as one of its threads it need not hand its work to another and sleep.
        // The others still are `count`, for work from elsewhere. A thread can be part of one pool only.
        let with_this = rayon::ThreadPoolBuilder::new().num_threads(count + 1).use_current_thread().build();
        let pool = with_this.or_else(|_| rayon::ThreadPoolBuilder::new().num_threads(count).build()).map_err(|e| {
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

    /// Runs `work` on a thread of the pool while the other threads stand by: the parallel parts of `work` start at once.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        #[cfg(feature = "cli")]
        if let Some(pool) = &self.pool {
            return pool.scope(|scope| {
                let over = std::sync::Arc::new(AtomicBool::new(false));
                for _ in 1..self.count {
                    let over = over.clone();
                    scope.spawn(move |_| stand_by(&over));
                }
                let _end = End { over: &over, calling: CALLING.replace(true) };
                work()
            });
        }
        work()
    }

    /// Calls `work(index, chunk)` for every chunk of `chunk` elements of `data`, spread over the threads.
    pub fn for_chunks<T: Send>(&self, data: &mut [T], chunk: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) {
        self.chunks(data, chunk.max(1), &work);
    }

    /// Calls `work` for every item, spread over the threads.
    pub fn for_each<T: Send>(&self, items: Vec<T>, work: impl Fn(T) + Send + Sync) {
        let slots: Vec<Mutex<Option<T>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
        self.indices(slots.len(), &|i| {
            let item = slots[i].lock().ok().and_then(|mut slot| slot.take());
            item.map(&work);
        });
    }

    /// `work` is a trait object here and below: compiled once per element type, not once per kernel.
    fn chunks<T: Send>(&self, data: &mut [T], chunk: usize, work: &(dyn Fn(usize, &mut [T]) + Sync)) {
        if self.count == 1 || data.len() <= chunk {
            for (i, c) in data.chunks_mut(chunk).enumerate() {
                work(i, c);
            }
            return;
        }
        let chunks: Vec<Mutex<&mut [T]>> = data.chunks_mut(chunk).map(Mutex::new).collect();
        self.indices(chunks.len(), &|i| {
            if let Ok(mut chunk) = chunks[i].lock() {
                work(i, &mut chunk);
            }
        });
    }

    /// Calls `work` with 0 to `count` − 1.
    fn indices(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        #[cfg(feature = "cli")]
        if let Some(pool) = &self.pool
            && count > 1
        {
            let (next, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let take = || {
                while let i = next.fetch_add(1, Ordering::Relaxed)
                    && i < count
                {
                    work(i);
                }
            };
            return pool.scope(|scope| {
                for _ in 1..self.count.min(count) {
                    scope.spawn(|_| {
                        busy.fetch_add(1, Ordering::Relaxed);
                        take();
                        busy.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                take();
                // The others are about to finish: leaving the scope would put this thread to sleep until they have.
                for _ in 0..PATIENCE {
                    if busy.load(Ordering::Relaxed) == 0 {
                        break;
                    }
                    std::hint::spin_loop();
                }
            });
        }
        (0..count).for_each(work);
    }
}

/// Looks without success after which a thread stops to wait for work: about a millisecond.
#[cfg(feature = "cli")]
const PATIENCE: usize = 20_000;

/// Executes what the pool has to do, until the run is over or nothing has come for long.
#[cfg(feature = "cli")]
fn stand_by(over: &AtomicBool) {
    // Who runs a network finds this among the work of the pool when it waits for others. It has to go on.
    if CALLING.get() {
        return;
    }
    let mut idle = 0;
    while idle < PATIENCE && !over.load(Ordering::Relaxed) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => idle = 0,
            _ => idle += 1,
        }
        std::hint::spin_loop();
    }
}

#[cfg(feature = "cli")]
thread_local! {
    /// Whether this thread is inside `install`.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Sends the threads on stand-by away, after a panic too.
#[cfg(feature = "cli")]
struct End<'a> {
    over: &'a AtomicBool,
    /// What `CALLING` was before.
    calling: bool,
}

#[cfg(feature = "cli")]
impl Drop for End<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        CALLING.set(self.calling);
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    /// Two runs at once on one pool, each of many short stretches: every index comes once, and both end.
    #[test]
    fn runs_share_a_pool() {
        let threads = Threads::new(3).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    threads.install(|| {
                        let mut counts = vec![0u32; 10];
                        for _ in 0..500 {
                            threads.for_chunks(&mut counts, 3, |_, part| part.iter_mut().for_each(|c| *c += 1));
                        }
                        assert_eq!(counts, [500; 10]);
                    });
                });
            }
        });
    }

    #[test]
    fn a_panic_ends_the_run() {
        let threads = Threads::new(2).unwrap();
        let run = || threads.install(|| threads.for_each(vec![1, 2, 3], |i| assert!(i < 3)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
        assert_eq!(threads.install(|| 5), 5);
    }
}
