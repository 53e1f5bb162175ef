//! The edge to what blocks: waiting, threads, the process and the clock. A browser has the clock alone.

use crate::error::{Error, Result};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

#[cfg(not(target_arch = "wasm32"))]
pub use std::time::Instant;
#[cfg(target_arch = "wasm32")]
pub use web_time::Instant;

/// Whether a thread can wait here: in a browser, nothing arrives before the code that waits for it has ended.
pub const CAN_WAIT: bool = !cfg!(target_arch = "wasm32");

/// The error of what is not there yet, where nobody can wait for it.
pub fn cannot_wait(what: &str) -> Error {
    Error::Device(format!("{what}: a browser cannot wait; use the asynchronous form and `.await` it"))
}

/// A future's result if it is there at once.
pub fn at_once<T>(future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A future's result, which is waited for where a thread can wait; `what` names it in the error where none can.
pub fn wait<T>(what: &str, future: impl Future<Output = Result<T>>) -> Result<T> {
    #[cfg(not(target_arch = "wasm32"))]
    let (value, _) = (Some(pollster::block_on(future)), what);
    #[cfg(target_arch = "wasm32")]
    let value = at_once(std::pin::pin!(future));
    value.unwrap_or_else(|| Err(cannot_wait(what)))
}

/// Runs `work`, which blocks, on a thread of its own.
pub fn beside(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

/// Runs `work` so many times at once, each on a thread of its own; how each ended.
pub fn on_threads<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<thread::Result<R>> {
    let work = &work;
    thread::scope(|scope| {
        let all: Vec<_> = (0..count).map(|at| scope.spawn(move || work(at))).collect();
        all.into_iter().map(|one| one.join()).collect()
    })
}

/// The text of a panic.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a word").to_string()
}

/// Signs of life of this process: the kernels that it has run or asked for.
static SIGNS: AtomicU64 = AtomicU64::new(0);
/// How many of its threads wait for a device, build shaders or write a file.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Gives a sign of life.
pub fn live() {
    SIGNS.fetch_add(1, Ordering::Relaxed);
}

/// What others would see of this process who ask whether it stands still.
#[cfg(feature = "mpi")]
pub fn signs() -> u64 {
    SIGNS.load(Ordering::Relaxed)
}

/// Whether it does what takes long.
#[cfg(feature = "mpi")]
pub fn is_busy() -> bool {
    BUSY.load(Ordering::Relaxed) > 0
}

/// Does what may take long without a sign of life.
pub fn busy<R>(work: impl FnOnce() -> R) -> R {
    /// Ends where `work` panics, too.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            BUSY.fetch_sub(1, Ordering::Relaxed);
        }
    }
    BUSY.fetch_add(1, Ordering::Relaxed);
    let _end = End;
    work()
}

/// Runs `work`; where this thread ends the process within it, `told` is called first.
#[cfg(feature = "mpi")]
pub fn unless_exits<R>(work: impl FnOnce() -> R, told: impl FnOnce() + 'static) -> R {
    struct Left(std::cell::Cell<Option<Box<dyn FnOnce()>>>);
    impl Drop for Left {
        fn drop(&mut self) {
            if let Some(told) = self.0.take() {
                told();
            }
        }
    }
    // An exit drops what belongs to the thread that calls it.
    thread_local!(static LEFT: Left = const { Left(std::cell::Cell::new(None)) });
    LEFT.with(|left| left.0.set(Some(Box::new(told))));
    let done = work();
    LEFT.with(|left| left.0.take());
    done
}

/// Leaves the processor to others for so long.
#[cfg(feature = "mpi")]
pub fn pause(time: std::time::Duration) {
    thread::sleep(time);
}

/// Leaves the processor to whoever waits for it.
#[cfg(feature = "mpi")]
pub fn give_way() {
    thread::yield_now();
}

/// Threads that run at once.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get())
}

/// Does all jobs; their results are in the order of the jobs.
pub fn on_all_cores<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    // These threads are not rayon's, which would take up other work that waits for this.
    let cores = cores().min(jobs.len());
    if cores < 2 || !CAN_WAIT {
        return jobs.iter().map(run).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let at = next.fetch_add(1, Ordering::Relaxed);
        jobs.get(at).map(|job| (at, run(job)))
    };
    let work = || std::iter::from_fn(take).collect::<Vec<_>>();
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Seconds since 1970; 0 where the clock is set before that.
pub fn unix_time() -> f64 {
    #[cfg(not(target_arch = "wasm32"))]
    use std::time::{SystemTime, UNIX_EPOCH};
    #[cfg(target_arch = "wasm32")]
    use web_time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The number of this process among those that run; a browser has none.
pub fn process() -> u32 {
    if CAN_WAIT { std::process::id() } else { 0 }
}
