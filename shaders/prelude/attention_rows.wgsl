// Stands before the files of attention by tiles in shared memory, for GPUs: the rows of a workgroup and of its threads.

// Set by the variant: X, threads side by side, not less than the vec4 of a row: 8, 16 or 32; MASKED.
const Y: u32 = select(8u, 16u, X == 8u);
const KEYS: u32 = select(4u, 2u, X == 32u);
const THREADS: u32 = X * Y;
const OWN: u32 = 4u * Y;
const OTHER: u32 = KEYS * X;

// The first vec4 of a head, the stride of its rows, and their number.
struct Rows { first: u32, step: u32, count: u32 }

fn rows_at(at: vec4<u32>, place: Place, count: u32) -> Rows {
    return Rows(first_of(at, place), at.w, count);
}

// The own rows of a thread.
fn rows_of(place: Place, t: u32) -> vec4<u32> {
    return vec4<u32>(0u, Y, 2u * Y, 3u * Y) + place.start + t / X;
}

// Other row k of a thread, counted from the tile's first.
fn column(k: u32, t: u32) -> u32 { return t % X + k * X; }

fn mask_at(at: u32) -> f32 { return pick_MASK(mask[at / EACH_MASK], at); }

// What the mask adds to the scores of own rows with one other row: the rows' places in it, and that of the other.
fn added(places: vec4<u32>, other: u32) -> vec4<f32> {
    let at = places + other;
    return vec4<f32>(mask_at(at.x), mask_at(at.y), mask_at(at.z), mask_at(at.w));
}

// Where a row starts; past the last, the last.
fn start_of(all: Rows, row: u32) -> u32 { return all.first + min(row, all.count - 1u) * all.step; }
