"""Writes the Parquet fixtures of this folder (see README.md)."""

import decimal

import pyarrow as pa
import pyarrow.parquet as pq

n = 300
rows = range(n)


def some(f, every=7):
    """f(i) for each row, null for every seventh."""
    return [None if i % every == 3 else f(i) for i in rows]


table = pa.table(
    {
        "y": pa.array([i % 2 for i in rows], pa.int64()),
        "i8": pa.array(some(lambda i: i % 100 - 50), pa.int8()),
        "u32": pa.array(some(lambda i: 2**32 - 1 - i), pa.uint32()),
        "u64": pa.array(some(lambda i: 2**64 - 1 - i * 2**40), pa.uint64()),
        "f16": pa.array(some(lambda i: i / 8), pa.float16()),
        "f32": pa.array(some(lambda i: i / 3), pa.float32()),
        "f64": pa.array(some(lambda i: i / 3), pa.float64()),
        "flag": pa.array(some(lambda i: i % 3 == 0), pa.bool_()),
        "dec": pa.array(
            some(lambda i: decimal.Decimal(i * 37 - 5000) / 100), pa.decimal128(9, 2)
        ),
        "big": pa.array(
            some(lambda i: decimal.Decimal(i - 150) * 10**25 / 10**3),
            pa.decimal128(38, 3),
        ),
        "text": pa.array(some(lambda i: f"row {i}"), pa.string()),
    }
)
pq.write_table(table, "types.parquet", row_group_size=100, compression="snappy")
pq.write_table(
    table,
    "types_v2.parquet",
    row_group_size=128,
    compression="zstd",
    data_page_version="2.0",
    data_page_size=256,
    store_decimal_as_integer=True,
)
