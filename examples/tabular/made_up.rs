//! Flats that nobody lives in: made by a formula with noise of known size, so that the best possible error is known.

use std::fmt::Write;
use wgrad::Rng;

const ROWS: usize = 2000;

/// Rents lie up to this far above and below what the formula says.
const NOISE: f32 = 60.0;

/// The share of flats whose demand is not what the formula says.
const MIXED_UP: f32 = 0.1;

/// The mean error of the formula itself: no model of the rent comes below it but by chance.
pub const LEAST_ERROR: f32 = NOISE / 2.0;

/// The accuracy of the formula itself: no model of the demand comes above it but by chance.
pub const MOST_ACCURACY: f32 = 1.0 - MIXED_UP;

/// District, rent for a square metre, points of demand.
const DISTRICTS: [(&str, f32, f32); 5] =
    [("north", 11.0, 1.5), ("east", 8.0, -0.5), ("south", 9.0, 0.5), ("west", 7.5, -1.5), ("centre", 14.0, 2.5)];

/// Heating, rent, points of demand; the last is not known.
const HEATINGS: [(&str, f32, f32); 4] =
    [("gas", 0.0, 0.0), ("oil", -35.0, -1.0), ("heat pump", 45.0, 1.0), ("", -20.0, 0.0)];

const DEMANDS: [&str; 3] = ["low", "medium", "high"];

/// The table as CSV. All that a formula needs is in its row: where a value is missing, it takes another term.
pub fn flats() -> String {
    let mut rng = Rng::new(2026);
    let mut text = String::from("area,rooms,year,energy,district,heating,rent,demand\n");
    for _ in 0..ROWS {
        let area = 20 + rng.below(101);
        let rooms = 1 + area / 40 + rng.below(2);
        let year = (rng.uniform() >= 0.1).then(|| 1900 + rng.below(121));
        let energy = (rng.uniform() >= 0.15).then(|| 40 + rng.below(211));
        let (district, per_metre, wanted) = DISTRICTS[rng.below(5) as usize];
        let (heating, heating_rent, warm) = HEATINGS[if rng.uniform() < 0.05 { 3 } else { rng.below(3) as usize }];

        let age = match year {
            None => -30.0,
            Some(1900..1950) => 60.0,
            Some(1950..1980) => -80.0,
            Some(year) => (year - 1980) as f32 * 2.5,
        };
        let saved = energy.map_or(0.0, |energy| 150.0 - energy as f32);
        let fair = 200.0 + area as f32 * per_metre + 40.0 * rooms as f32 + age + 0.6 * saved + heating_rent;
        let rent = fair + NOISE * (2.0 * rng.uniform() - 1.0);

        let points = wanted + warm + saved / 50.0 - 0.5 * (rooms as f32 - 2.0);
        let class = usize::from(points >= -0.5) + usize::from(points >= 1.0);
        let other = if rng.uniform() < MIXED_UP { 1 + rng.below(2) as usize } else { 0 };
        let demand = DEMANDS[(class + other) % 3];

        let [year, energy] = [year, energy].map(|known| known.map_or(String::new(), |value| value.to_string()));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{area},{rooms},{year},{energy},{district},{heating},{rent:.0},{demand}");
    }
    text
}
