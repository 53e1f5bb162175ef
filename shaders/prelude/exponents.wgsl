// e and m of x = m 2^e, m from 1/2 to below 1; of 0, infinity and NaN 0 and x.
fn is_normal4(x: vec4<f32>) -> vec4<bool> {
    let e = (bitcast<vec4<u32>>(x) >> vec4<u32>(23u)) & vec4<u32>(0xffu);
    return (e != vec4<u32>()) & (e != vec4<u32>(0xffu));
}
fn exponent4(x: vec4<f32>) -> vec4<f32> {
    let e = vec4<f32>((bitcast<vec4<u32>>(x) >> vec4<u32>(23u)) & vec4<u32>(0xffu)) - 126.0;
    return select(vec4<f32>(), e, is_normal4(x));
}
fn mantissa4(x: vec4<f32>) -> vec4<f32> {
    let m = (bitcast<vec4<u32>>(x) & vec4<u32>(0x807fffffu)) | vec4<u32>(0x3f000000u);
    return select(x, bitcast<vec4<f32>>(m), is_normal4(x));
}
