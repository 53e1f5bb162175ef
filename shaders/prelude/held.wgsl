// Stands before batch normalisation. ITEM is a float or four, and BITS as many words.

// What is below p.low, or above p.high, is that; NaN stays. Between 0 and infinity this is a relu, to the bit.
fn held(v: ITEM, p: Channels) -> ITEM {
    let above = select(v, ITEM(p.low), v < ITEM(p.low));
    let is_nan = (bitcast<BITS>(v) & BITS(0x7fffffffu)) > BITS(0x7f800000u);
    return select(select(above, ITEM(p.high), above > ITEM(p.high)), v, is_nan);
}
