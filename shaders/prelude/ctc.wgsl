// Stands before the files of connectionist temporal classification.

struct Ctc {
    batch: u32,
    steps: u32,
    // two for each label, and one
    places: u32,
    blank: i32,
    // of a pass: its steps
    start: u32,
    end: u32,
}

// By bits: a constant that is not finite is an error.
fn infinity(negative: bool) -> f32 {
    return from_bits4(select(0x7f800000u, 0xff800000u, negative)).x;
}

fn not_a_number() -> f32 {
    return from_bits4(0x7fc00000u).x;
}

// Steps that count, at least one.
fn steps_of(given: i32, p: Ctc) -> u32 {
    return u32(clamp(given, 1, i32(p.steps)));
}

// The last place of a path, the blank behind its last label.
fn ends(labels: i32, p: Ctc) -> u32 {
    return 2u * u32(max(labels, 0));
}

// Whether an alignment may go from a class to the one two places on, over the blank between.
fn leaps(class_here: i32, before: i32, p: Ctc) -> bool {
    return class_here != p.blank && class_here != before;
}

// log(e^a + e^b + e^c)
fn joined(ways: vec3<f32>) -> f32 {
    let v = vec4<f32>(ways, ways.x);
    if any(is_nan4(v)) { return not_a_number(); }
    let top = larger4(larger4(v, v.yzxw), v.zxyw).x;
    if abs(top) > 3.4028234e38 { return top; }
    let d = v - top;
    let e = select(exp(d), vec4<f32>(), d < vec4<f32>(-87.33654));
    return top + log(e.x + e.y + e.z);
}
