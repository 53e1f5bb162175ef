// Where the rows of a step lie in a table, for kernels that bind `rows`, `numbers` and p: the number of each row, -1 for none; the
// step's numbers; n rows of `width` items, and the starts of the group's and of the parameter's own numbers.

const NOWHERE: u32 = 0xffffffffu;

// The item of the table that item i of the rows belongs to. A step that is given up has none.
fn table_place(i: u32) -> u32 {
    let entry = divide(i, p.width);
    if entry >= p.n || numbers[3] == 1.0 { return NOWHERE; }
    let row = rows[entry];
    if row < 0 { return NOWHERE; }
    return u32(row) * p.width + i - entry * p.width;
}

// The first of the numbers that the table goes by.
fn first_number() -> u32 { return select(p.at, p.own, numbers[2] == 1.0); }
