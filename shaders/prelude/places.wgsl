// Stands before the files that keep or read where in its window a largest element lies, counted along the window's rows. Bytes,
// four in a word, where a window has at most 255 places; else words. All ones: it has seen none.

fn packed_places(places: vec4<u32>) -> u32 {
    let bytes = (places & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}

fn unpacked_places(word: u32) -> vec4<u32> {
    return (vec4<u32>(word) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u);
}
