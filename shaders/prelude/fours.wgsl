// Stands before the files that move halves into tiles by four rows of four.

struct Four { x: vec4<f16>, y: vec4<f16>, z: vec4<f16>, w: vec4<f16> }

fn turned(f: Four) -> Four {
    return Four(vec4<f16>(f.x.x, f.y.x, f.z.x, f.w.x), vec4<f16>(f.x.y, f.y.y, f.z.y, f.w.y),
        vec4<f16>(f.x.z, f.y.z, f.z.z, f.w.z), vec4<f16>(f.x.w, f.y.w, f.z.w, f.w.w));
}

// With zeros for rows that are not there.
fn cut(f: Four, there: vec4<bool>) -> Four {
    let none = vec4<f16>();
    return Four(select(none, f.x, there.x), select(none, f.y, there.y), select(none, f.z, there.z), select(none, f.w, there.w));
}
