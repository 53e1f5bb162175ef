// Stands before the files of attention.

struct Attention {
    queries: u32,
    keys: u32,
    heads: u32,
    batch: u32,
    scale: f32,
    causal: u32,
    // The vec4 of a row.
    quads: u32,
    // LANES, unknown to the compiler: by it loops would be unrolled, too, to very long code.
    lanes: u32,
    // The keys, or for dk and dv the queries, of one pass; passes after the first go on from what is there.
    first: u32,
    end: u32,
    // The stride of a key in the mask.
    mask_key: u32,
    masked: u32,
    // The first vec4 and the strides of batch, head and row, in vec4, of each operand.
    q: vec4<u32>,
    k: vec4<u32>,
    v: vec4<u32>,
    y: vec4<u32>,
    dy: vec4<u32>,
    dq: vec4<u32>,
    dk: vec4<u32>,
    dv: vec4<u32>,
    // The first element and the strides of batch, head and query; a stride is 0 where the mask is broadcast.
    mask: vec4<u32>,
}

// The lowest number. A row that has seen no key has it as its largest score.
const LOWEST: f32 = -3.4028234e38;

// lse of a row whose scores are all -inf: weights that are computed again from it are 0.
const NONE: f32 = 3.4028234e38;

// Where a workgroup works: the head, and the first own row.
struct Place {
    batch: u32,
    head: u32,
    start: u32,
    // Not a group past the last.
    is_there: bool,
}

// A group past the last works on the last again and writes nothing: every barrier is met by all, and nothing is masked
// by a return, which takes a tenth longer on lavapipe.
fn place_of(number: u32, rows: u32, block: u32) -> Place {
    let blocks = (rows + block - 1u) / block;
    let count = blocks * p.heads * p.batch;
    let group = min(number, count - 1u);
    let both = group / blocks;
    let batch = both / p.heads;
    return Place(batch, both - batch * p.heads, (group - both * blocks) * block, number < count);
}

fn first_of(at: vec4<u32>, place: Place) -> u32 {
    return at.x + place.batch * at.y + place.head * at.z;
}

// Where lse and delta of a query are.
fn of_query(place: Place, row: u32) -> u32 {
    return (place.batch * p.queries + row) * p.heads + place.head;
}
