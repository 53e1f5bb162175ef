// Stands before the files of group normalisation.

// Images [batch, positions, channels] without gaps, whose channels are normalised in groups.
struct Groups {
    batch: u32,
    positions: u32,
    channels: u32,
    groups: u32,
    // positions of one chunk, and the chunks of an image
    chunk: u32,
    chunks: u32,
    eps: f32,
}

// Set by the variants: ITEM and WIDTH, a vec4 and 4 where the channels are a multiple of 4, else a float and 1.
