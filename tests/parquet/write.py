"""Writes the files beside it, with pandas 3 and pyarrow: python3 tests/parquet/write.py"""

import datetime
import pathlib

import numpy as np
import pandas as pd

HERE = pathlib.Path(__file__).resolve().parent
table = pd.DataFrame(
    {
        "area": [70.1, np.nan, 1e-9],
        "rooms": pd.array([3, None, 2], dtype="Int64"),
        "district": pd.Categorical(["north", "south", None]),
        "sold": [True, False, True],
        "seen": pd.to_datetime(["2024-01-02 03:04:05.678", None, "1969-12-31 23:59:59"], format="ISO8601"),
        "day": [datetime.date(2024, 2, 29), None, datetime.date(1970, 1, 1)],
        "large": np.array([2**63 + 1, 0, 2**64 - 1], dtype=np.uint64),
        "half": np.array([0.1, 0.2, 0.3], dtype=np.float32),
    }
)
table.to_parquet(HERE / "pandas.parquet")
table[["area"]].to_parquet(HERE / "brotli.parquet", compression="brotli")
