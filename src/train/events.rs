//! Event files of TensorBoard: records with checksums, each a message of protocol buffers.

use crate::autograd::Graph;
use crate::backend::edge;
use crate::data::png;
use crate::error::{Error, Result};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that TensorBoard reads, for a logger of one's own; [`TensorBoard`](super::TensorBoard) writes one of a run.
///
/// ```no_run
/// use wgrad::train::EventFile;
/// let mut events = EventFile::new("runs/mine", 0)?;
/// events.scalar("reward", 10, 0.5)?;
/// events.text("note", 10, "the second try")?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[doc(alias = "SummaryWriter")]
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

/// Buckets of a histogram.
const BUCKETS: usize = 40;

/// Values that are finite, and how many of them lie in each of `N` ranges from the least to the largest; of none, both are NaN.
pub(super) struct Spread<const N: usize> {
    pub values: Vec<f64>,
    pub low: f64,
    pub high: f64,
    pub width: f64,
    pub counts: [u64; N],
}

impl<const N: usize> Spread<N> {
    pub fn of(values: &[f32]) -> Spread<N> {
        let values: Vec<f64> = values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value)).collect();
        let (low, high) = values.iter().fold((f64::NAN, f64::NAN), |(low, high), &x| (x.min(low), x.max(high)));
        let width = (high - low).max(1e-12) / N as f64;
        let mut counts = [0; N];
        values.iter().for_each(|x| counts[(((x - low) / width) as usize).min(N - 1)] += 1);
        Spread { values, low, high, width, counts }
    }
}

/// A message in the making: a field is a key, which holds its number and its form, and a value.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, field: u64, value: i64) -> Message {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Message {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(mut self, field: u64, value: f32) -> Message {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Message {
        let value = value.as_ref();
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn message(self, field: u64, value: Message) -> Message {
        self.bytes(field, value.0)
    }

    fn doubles(self, field: u64, values: &[f64]) -> Message {
        self.bytes(field, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
    }
}

impl EventFile {
    /// A new file in a folder, which is made where there is none. What other files of the folder tell of steps from `step` on
    /// is void: a run that was resumed tells them again.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; so of all others.
    pub fn new(folder: impl AsRef<Path>, step: u64) -> Result<EventFile> {
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(|error| Error::file_because(folder, "cannot be made", error))?;
        // Files are read in the order of their names.
        let seconds = edge::unix_time() as u64;
        let name = |number: u32| format!("events.out.tfevents.{seconds:010}.wgrad.{}.{number}", edge::process());
        let path = (0..).map(|number| folder.join(name(number))).find(|path| !path.exists()).expect("names do not end");
        let file = File::create(&path).map_err(|error| Error::file_because(&path, "cannot be written", error))?;
        let mut events = EventFile { path, file };
        events.event(0, Message::default().bytes(3, "brain.Event:2"))?;
        if step > 0 {
            let start = Message::default().int(1, 1);
            events.event(step, Message::default().message(7, start))?;
        }
        Ok(events)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number; a `/` in a tag makes a group.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> Result<()> {
        self.value(step, Message::default().bytes(1, tag).float(2, value as f32))
    }

    /// How often values of each size are there. Those that are no finite numbers are left out.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<()> {
        let Spread { values, low, high, width, counts } = Spread::<BUCKETS>::of(values);
        if values.is_empty() {
            return Ok(());
        }
        let counts = counts.map(|count| count as f64);
        let limits: Vec<f64> = (1..=BUCKETS).map(|at| low + width * at as f64).collect();
        let (sum, squares) = (values.iter().sum::<f64>(), values.iter().map(|x| x * x).sum::<f64>());
        let all = Message::default().double(1, low).double(2, high).double(3, values.len() as f64);
        let all = all.double(4, sum).double(5, squares).doubles(6, &limits).doubles(7, &counts);
        self.value(step, Message::default().bytes(1, tag).message(5, all))
    }

    /// A picture of `[height, width]` and one channel, three, or four with opacity, whose bytes lie pixel by pixel.
    ///
    /// # Errors
    /// [`Error::Option`] if the bytes are of another number; [`Error::File`] if it cannot be written.
    pub fn image(&mut self, tag: &str, step: u64, [height, width]: [usize; 2], pixels: &[u8]) -> Result<()> {
        let png = png(width, height, pixels)?;
        let channels = pixels.len() / (height * width);
        let picture =
            Message::default().int(1, height as i64).int(2, width as i64).int(3, channels as i64).bytes(4, png);
        self.value(step, Message::default().bytes(1, tag).message(4, picture))
    }

    /// Some words, in Markdown.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        const STRING: i64 = 7;
        let shape = Message::default().message(2, Message::default().int(1, 1));
        let tensor = Message::default().int(1, STRING).message(2, shape).bytes(8, text);
        let value =
            Message::default().bytes(1, format!("{tag}/text_summary")).message(9, plugin("text", Message::default()));
        self.value(step, value.message(8, tensor))
    }

    /// The graph of a computation, as `loss.graph()` gives it. A file has one.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    #[doc(alias = "add_graph")]
    pub fn graph(&mut self, graph: &Graph) -> Result<()> {
        // A layer's operations are one box: that of the path that the name of a parameter begins with.
        let name = |at: usize| {
            let value = &graph.values()[at];
            let own = value.op.as_ref().map_or("input", |op| op.name());
            match value.name.as_deref() {
                Some(path) if value.op.is_none() => path.replace('.', "/"),
                Some(path) => match path.rsplit_once('.') {
                    Some((layer, _)) => format!("{}/{own}_{at}", layer.replace('.', "/")),
                    None => format!("{own}_{at}"),
                },
                None => format!("{own}_{at}"),
            }
        };
        let node = |(at, value): (usize, &crate::autograd::Value)| {
            let op = value.op.as_ref().map_or("Placeholder", |op| op.name());
            let node = Message::default().bytes(1, name(at)).bytes(2, op);
            let node = value.inputs.iter().flatten().fold(node, |node, input| node.bytes(3, name(*input)));
            let text = format!("{} {}", value.shape, value.dtype);
            let text = value.op.as_ref().map_or(text.clone(), |op| format!("{op}, {text}"));
            let attribute = Message::default().bytes(1, "about").message(2, Message::default().bytes(2, text));
            node.message(5, attribute)
        };
        let all = graph.values().iter().enumerate().map(node);
        let all = all.fold(Message::default(), |all, node| all.message(1, node));
        // The version of such graphs that TensorBoard reads.
        let all = all.message(4, Message::default().int(1, 22));
        self.event(0, Message::default().bytes(4, all.0))
    }

    /// The settings of a run, which TensorBoard compares in a table. Those that are numbers are shown as such.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn hparams(&mut self, settings: &[(String, String)]) -> Result<()> {
        let entry = |(name, value): &(String, String)| {
            let value = match value.parse::<f64>() {
                Ok(number) => Message::default().double(2, number),
                Err(_) => Message::default().bytes(3, value),
            };
            Message::default().bytes(1, name).message(2, value)
        };
        let start = settings.iter().fold(Message::default(), |start, setting| start.message(1, entry(setting)));
        let start = Message::default().int(1, 0).message(3, start.double(5, edge::unix_time()));
        self.value(0, Message::default().bytes(1, "_hparams_/session_start_info").message(9, plugin("hparams", start)))
    }

    fn value(&mut self, step: u64, value: Message) -> Result<()> {
        self.event(step, Message::default().message(5, Message::default().message(1, value)))
    }

    fn event(&mut self, step: u64, what: Message) -> Result<()> {
        let mut event = Message::default().double(1, edge::unix_time()).int(2, step as i64);
        event.0.extend(what.0);
        let length = (event.0.len() as u64).to_le_bytes();
        let record = [&length[..], &masked_crc(&length), &event.0, &masked_crc(&event.0)].concat();
        self.file.write_all(&record).map_err(|error| Error::file_because(&self.path, "cannot be written", error))
    }
}

/// What tells TensorBoard which page a value belongs to.
fn plugin(name: &str, content: Message) -> Message {
    Message::default().message(1, Message::default().bytes(1, name).bytes(2, content.0))
}

/// The checksum of a record: CRC32C, turned so that a checksum of checksums is none.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            // The polynomial of Castagnoli, its bits the other way round.
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}
