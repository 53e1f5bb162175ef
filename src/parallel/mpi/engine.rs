//! The thread that calls MPI: one collective after the other, and an eye on the ranks that do not come.

use crate::backend::edge::{self, Instant};
use ::mpi::environment::{Universe, initialize_with_threading, processor_name};
use ::mpi::request::{Request, scope};
use ::mpi::topology::SimpleCommunicator;
use ::mpi::traits::*;
use ::mpi::{Tag, Threading};
use std::cell::{Cell, RefCell};
use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// One call of a group.
pub struct Job {
    pub call: Call,
    pub reply: Sender<Answer>,
}

/// What is asked.
pub enum Call {
    Gather(Vec<u8>),
    Deal {
        parts: Vec<Vec<u8>>,
        /// Whether it is a part of training, as a sum is.
        trains: bool,
    },
    Reduce(Vec<f32>),
    Broadcast(usize, Vec<u8>),
    /// Of this rank there will be no more.
    End,
}

/// What comes of it.
pub enum Answer {
    All(Vec<Vec<u8>>),
    Sums(Vec<f32>),
    Bytes(Vec<u8>),
    Ended,
}

/// The exit code where a rank is missed.
const MISSED: i32 = 70;
/// Bytes that go at once: MPI counts in 31 bits.
const PIECE: usize = 64 << 20;
/// A rank is asked how it is after this time of waiting, and so often.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Time between two looks for what others ask.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Sums that are made at once, so that they stay in the nearest cache.
const BLOCK: usize = 2048;
/// Time of waiting in which the processor is not left to others for long.
const KEEN: Duration = Duration::from_millis(50);

/// "How are you?", and the answer: calls so far, and milliseconds without a sign of life.
const HOW: Tag = 7001;
const STATUS: Tag = 7002;
/// A part of what is dealt.
const PART: Tag = 7003;

/// What ranks call, as they tell one another.
const END: u64 = 0;
const REDUCE: u64 = 1;
const GATHER: u64 = 2;
const BROADCAST: u64 = 3;
const DEAL: u64 = 4;

pub struct Engine {
    universe: Universe,
    world: SimpleCommunicator,
    timeout: Duration,
    first: Duration,
    /// Calls so far.
    calls: Cell<u64>,
    ended: Cell<bool>,
    /// Whether all have met in training: before the first, data are fetched.
    trains: Cell<bool>,
    /// The signs of life that were seen last, and when that was.
    signs: Cell<(u64, Instant)>,
    looked: Cell<Instant>,
    /// When each rank was heard of last, in the wait that goes on.
    heard: RefCell<Vec<Instant>>,
    /// What all ranks have of this one's part of a sum, and the sums. They stay, since fresh memory is slow to write.
    parts: RefCell<Vec<f32>>,
    sums: RefCell<Vec<f32>>,
}

/// The name of this machine.
pub fn machine() -> String {
    processor_name().unwrap_or_else(|_| "a machine without a name".into())
}

/// A sentence of a rank on standard error.
pub fn say(rank: usize, size: usize, text: &str) {
    // In one piece, or launchers mix the sentences of ranks. A closed stream only loses it.
    let line = format!("wgrad: rank {rank} of {size} on {}: {text}\n", machine());
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Ends all processes of the job; this one in any case.
pub fn abort(code: i32) -> ! {
    edge::beside(move || {
        edge::pause(Duration::from_secs(2));
        std::process::exit(code);
    });
    // What was said last is lost where a launcher ends its streams before it has passed it on.
    edge::pause(Duration::from_millis(200));
    SimpleCommunicator::world().abort(code)
}

impl Engine {
    /// None where MPI was started before.
    pub fn start(timeout: Duration, first: Duration) -> Option<Engine> {
        let (universe, _) = initialize_with_threading(Threading::Multiple)?;
        let (world, now) = (universe.world(), Instant::now());
        let heard = RefCell::new(vec![now; world.size() as usize]);
        let (calls, ended, trains) = (Cell::new(0), Cell::new(false), Cell::new(false));
        let signs = Cell::new((edge::signs(), now));
        let (looked, parts, sums) = (Cell::new(now), RefCell::default(), RefCell::default());
        Some(Engine { universe, world, timeout, first, calls, ended, trains, signs, looked, heard, parts, sums })
    }

    pub fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    pub fn size(&self) -> usize {
        self.world.size() as usize
    }

    /// Does what is asked until nothing more is.
    pub fn serve(self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(LOOK_EVERY) {
                Ok(Job { call: Call::End, reply }) => {
                    self.ended.set(true);
                    self.enter(END, 0);
                    drop(self.universe);
                    let _ = reply.send(Answer::Ended);
                    return;
                }
                Ok(Job { call, reply }) => {
                    let answer = match call {
                        Call::Gather(own) => Answer::All(self.gather(own)),
                        Call::Deal { parts, trains } => Answer::All(self.deal(&parts, trains)),
                        Call::Reduce(values) => Answer::Sums(self.reduce(values)),
                        Call::Broadcast(root, own) => Answer::Bytes(self.broadcast(root, own)),
                        Call::End => Answer::Ended,
                    };
                    self.signs.set((edge::signs(), Instant::now()));
                    let _ = reply.send(answer);
                }
                Err(RecvTimeoutError::Timeout) => self.attend(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Begins a call, which all ranks are to make; what each says of its length.
    fn enter(&self, kind: u64, len: usize) -> Vec<u64> {
        self.calls.set(self.calls.get() + 1);
        self.signs.set((edge::signs(), Instant::now()));
        let mut all = vec![0u64; 2 * self.size()];
        let own = [kind, len as u64];
        scope(|scope| self.wait(self.world.immediate_all_gather_into(scope, &own[..], &mut all[..])));
        let alike = |other: &[u64]| other[0] == kind && ([GATHER, DEAL].contains(&kind) || other[1] == own[1]);
        if let Some(rank) = all.chunks_exact(2).position(|other| !alike(other)) {
            let [other, n] = [all[2 * rank], all[2 * rank + 1]];
            self.miss(&match (kind, other) {
                (_, END) => format!("rank {rank} has ended, and this one has not"),
                (END, _) => format!("rank {rank} has not ended, and this one has"),
                (REDUCE, REDUCE) => format!("all_reduce: rank {rank} has {n} values where this one has {len}"),
                _ => format!(
                    "rank {rank} calls another method of its group: expected the same in one order on all ranks"
                ),
            });
        }
        all.chunks_exact(2).map(|other| other[1]).collect()
    }

    /// Sums in the order of ranks: each rank gets its part of all, adds it up and gives it to the others.
    fn reduce(&self, mut values: Vec<f32>) -> Vec<f32> {
        self.enter(REDUCE, values.len());
        let (len, ranks) = (values.len(), self.size());
        let part = len.div_ceil(ranks);
        values.resize(part * ranks, 0.0);
        let (mut parts, mut sums) = (self.parts.borrow_mut(), self.sums.borrow_mut());
        let (parts, sums) = (first(&mut parts, part * ranks), first(&mut sums, part));
        scope(|scope| self.wait(self.world.immediate_all_to_all_into(scope, &values[..], &mut parts[..])));
        for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
            sums.fill(0.0);
            for own in parts.chunks_exact(part) {
                sums.iter_mut().zip(&own[block * BLOCK..]).for_each(|(sum, value)| *sum += value);
            }
        }
        scope(|scope| self.wait(self.world.immediate_all_gather_into(scope, &sums[..], &mut values[..])));
        values.truncate(len);
        self.trains.set(true);
        values
    }

    fn gather(&self, mut own: Vec<u8>) -> Vec<Vec<u8>> {
        let lens = self.enter(GATHER, own.len());
        let most = lens.iter().copied().max().unwrap_or(0) as usize;
        if most == 0 {
            return vec![Vec::new(); self.size()];
        }
        own.resize(most, 0);
        let mut all = vec![0u8; most * self.size()];
        scope(|scope| self.wait(self.world.immediate_all_gather_into(scope, &own[..], &mut all[..])));
        all.chunks_exact(most).zip(lens).map(|(bytes, len)| bytes[..len as usize].to_vec()).collect()
    }

    /// Sends each rank its part, and waits for those of all.
    fn deal(&self, parts: &[Vec<u8>], trains: bool) -> Vec<Vec<u8>> {
        self.enter(DEAL, 0);
        let lens: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
        let mut due = vec![0u64; lens.len()];
        scope(|scope| self.wait(self.world.immediate_all_to_all_into(scope, &lens[..], &mut due[..])));
        let mut all: Vec<Vec<u8>> = due.iter().map(|len| vec![0; *len as usize]).collect();
        scope(|scope| {
            let ranks = (0..self.world.size()).map(|rank| self.world.process_at_rank(rank));
            let mut coming = Vec::new();
            for (rank, part) in ranks.clone().zip(&mut all) {
                let pieces = part.chunks_mut(PIECE);
                coming.extend(pieces.map(|piece| rank.immediate_receive_into_with_tag(scope, piece, PART)));
            }
            let mut going = Vec::new();
            for (rank, part) in ranks.zip(parts) {
                going.extend(part.chunks(PIECE).map(|piece| rank.immediate_send_with_tag(scope, piece, PART)));
            }
            coming.into_iter().for_each(|request| self.wait(request));
            going.into_iter().for_each(|request| self.wait(request));
        });
        self.trains.set(self.trains.get() || trains);
        all
    }

    fn broadcast(&self, root: usize, mut bytes: Vec<u8>) -> Vec<u8> {
        self.enter(BROADCAST, root);
        let root = self.world.process_at_rank(root as i32);
        let mut len = [bytes.len() as u64];
        scope(|scope| self.wait(root.immediate_broadcast_into(scope, &mut len[..])));
        bytes.resize(len[0] as usize, 0);
        for piece in bytes.chunks_mut(PIECE) {
            scope(|scope| self.wait(root.immediate_broadcast_into(scope, piece)));
        }
        bytes
    }

    /// Waits for a collective, and looks after those that do not come.
    fn wait<'a, D: ?Sized, S: ::mpi::request::Scope<'a>>(&self, mut request: Request<'a, D, S>) {
        let since = Instant::now();
        let mut asked = since;
        self.heard.borrow_mut().fill(since);
        loop {
            request = match request.test() {
                Ok(_) => return,
                Err(request) => request,
            };
            if self.looked.get().elapsed() >= LOOK_EVERY {
                self.attend();
                self.judge();
            }
            if asked.elapsed() >= ASK_EVERY {
                asked = Instant::now();
                self.others().for_each(|rank| self.world.process_at_rank(rank).send_with_tag(&[0u64][..], HOW));
            }
            if since.elapsed() > KEEN {
                edge::pause(Duration::from_micros(50));
            } else {
                edge::give_way();
            }
        }
    }

    /// Whom this rank asks: rank 0 all others, and they rank 0, so that a thousand ranks do not drown in questions.
    fn others(&self) -> std::ops::Range<i32> {
        if self.rank() == 0 { 1..self.world.size() } else { 0..1 }
    }

    /// Answers who asks.
    fn attend(&self) {
        self.looked.set(Instant::now());
        if edge::signs() != self.signs.get().0 || edge::is_busy() {
            self.signs.set((edge::signs(), Instant::now()));
        }
        let (_, since) = self.signs.get();
        while let Some(asks) = self.world.any_process().immediate_probe_with_tag(HOW) {
            let rank = self.world.process_at_rank(asks.source_rank());
            let (_, _): (u64, _) = rank.receive_with_tag(HOW);
            rank.send_with_tag(&[self.calls.get(), since.elapsed().as_millis() as u64][..], STATUS);
        }
    }

    /// Takes the answers, and ends the job where a rank will not come.
    fn judge(&self) {
        // So long for a rank that fetches data, or writes up what has come of it all.
        let patience = if self.trains.get() && !self.ended.get() { self.timeout } else { self.first };
        while let Some(told) = self.world.any_process().immediate_probe_with_tag(STATUS) {
            let rank = told.source_rank();
            let mut status = [0u64; 2];
            self.world.process_at_rank(rank).receive_into_with_tag(&mut status[..], STATUS);
            let [calls, idle] = status;
            self.heard.borrow_mut()[rank as usize] = Instant::now();
            if calls < self.calls.get() && idle >= patience.as_millis() as u64 {
                let seconds = idle / 1000;
                self.miss(&format!(
                    "rank {rank} has done nothing for {seconds} s, and the others wait for it: it sleeps, or waits for data \
                     longer than `MpiOptions::timeout`"
                ));
            }
        }
        let heard = self.heard.borrow();
        let silent = self.others().find(|rank| heard[*rank as usize].elapsed() >= self.timeout);
        if let Some(rank) = silent {
            let seconds = heard[rank as usize].elapsed().as_secs();
            self.miss(&format!(
                "nothing was heard of rank {rank} for {seconds} s: its process stands still, or the network is cut"
            ));
        }
    }

    fn miss(&self, text: &str) -> ! {
        say(self.rank(), self.size(), text);
        abort(MISSED)
    }
}

/// The first elements of memory that grows where it must.
fn first(memory: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    &mut memory[..len]
}
