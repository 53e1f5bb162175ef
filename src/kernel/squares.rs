//! What shaders are told that multiply by matrix units (tensor cores, matrix cores): by wgpu's experimental cooperative matrices.

use super::Constant;

/// Of squares of f16 that are added up in f32: their side, 8 or 16, and their types; and the lanes of a subgroup.
pub fn constants(side: u32, lanes: u32) -> [(&'static str, Constant); 7] {
    let [left, right, sum] = match side {
        16 => ["coop_mat16x16<f16, A>", "coop_mat16x16<f16, B>", "coop_mat16x16<f32, C>"],
        _ => ["coop_mat8x8<f16, A>", "coop_mat8x8<f16, B>", "coop_mat8x8<f32, C>"],
    };
    [
        ("f16", Constant::Enable),
        ("wgpu_cooperative_matrix", Constant::Enable),
        ("LEFT", Constant::Alias(left)),
        ("RIGHT", Constant::Alias(right)),
        ("SUM", Constant::Alias(sum)),
        ("SIDE", Constant::U32(side)),
        ("LANES", Constant::U32(lanes)),
    ]
}
