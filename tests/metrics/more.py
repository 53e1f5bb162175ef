"""Writes reference cases beside itself: `python3 tests/metrics/more.py`, with scikit-learn (these by 1.9.1).

Each is computed in float64 from inputs that float32 holds. A name starts with `more_`, so that a file tells where it is from.
Scores of classes are logits: scikit-learn is given their softmax where it wants probabilities.
"""

import json
import pathlib
import struct

import numpy as np
from sklearn import metrics as sk

ROOT = pathlib.Path(__file__).parent
random = np.random.default_rng(13)


def write(name, kind, attrs, tensors):
    header = {"__metadata__": {"op": f"metrics:{kind}", "attrs": json.dumps(attrs), "rtol": "1e-5", "atol": "1e-6"}}
    body = b""
    for key, value in tensors.items():
        value = np.atleast_1d(np.asarray(value))
        value = value.astype(np.float32 if value.dtype.kind == "f" else np.int64)
        data = value.tobytes()
        header[key] = {
            "dtype": "F32" if value.dtype == np.float32 else "I64",
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (ROOT / f"more_{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)


def shares(truth, guess, **options):
    for name, of in [("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)]:
        for average in ["micro", "macro", "weighted", None]:
            value = of(truth, guess, average=average, zero_division=0, **options)
            yield f"out.{name}_{str(average).lower()}", value.astype(float) if average is None else float(value)


def multiclass(name, n, classes, k, batches, absent=(), digits=None):
    truth = random.choice([c for c in range(classes) if c not in absent], n)
    scores = random.normal(0, 1, (n, classes)) + 1.2 * np.eye(classes)[truth]
    scores = scores.astype(np.float32) if digits is None else scores.round(digits).astype(np.float32)
    wide = scores.astype(np.float64)
    likely = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    guess, labels = scores.argmax(1), list(range(classes))
    out = {
        "out.accuracy": sk.accuracy_score(truth, guess),
        "out.confusion_matrix": sk.confusion_matrix(truth, guess, labels=labels).astype(float),
        "out.mcc": float(sk.matthews_corrcoef(truth, guess)),
        "out.kappa": float(sk.cohen_kappa_score(truth, guess, labels=labels)),
        "out.log_loss": float(sk.log_loss(truth, likely, labels=labels)),
        **dict(shares(truth, guess, labels=labels)),
    }
    if classes > 2:
        out["out.top_k"] = float(sk.top_k_accuracy_score(truth, scores, k=k, labels=labels))
    out["out.perplexity"] = float(np.exp(out["out.log_loss"]))
    # Where logits are tied, rounding tells which of equal probabilities is larger.
    if not absent and digits is None:
        hot = np.eye(classes)[truth]
        for average in ["micro", "macro", "weighted", None]:
            end = str(average).lower()
            out[f"out.roc_auc_{end}"] = sk.roc_auc_score(hot, likely, average=average)
            out[f"out.average_precision_{end}"] = sk.average_precision_score(hot, likely, average=average)
    attrs = {"classes": classes, "k": k, "batches": batches}
    write(name, "multiclass", attrs, {"in.scores": scores, "in.target": truth, **out})


def binary(name, n, batches, digits=None):
    truth = (random.random(n) < 0.3).astype(np.int64)
    scores = random.normal(0, 1, n) + truth
    scores = scores.astype(np.float32) if digits is None else scores.round(digits).astype(np.float32)
    guess = (scores > 0).astype(np.int64)
    out = {
        "out.roc_auc": float(sk.roc_auc_score(truth, scores)),
        "out.average_precision": float(sk.average_precision_score(truth, scores)),
        "out.precision": float(sk.precision_score(truth, guess)),
        "out.recall": float(sk.recall_score(truth, guess)),
        "out.f1": float(sk.f1_score(truth, guess)),
        "out.mcc": float(sk.matthews_corrcoef(truth, guess)),
        "out.kappa": float(sk.cohen_kappa_score(truth, guess)),
        "out.log_loss": float(sk.log_loss(truth, 1 / (1 + np.exp(-scores.astype(np.float64))))),
    }
    write(name, "binary", {"batches": batches}, {"in.scores": scores, "in.target": truth, **out})


def regression(name, n, batches, mean, spread, error, bias=0.0, ordered=False):
    truth = random.normal(mean, spread, n)
    truth = (np.sort(truth) if ordered else truth).astype(np.float32)
    guess = (truth + random.normal(bias, error, n)).astype(np.float32)
    y, p = truth.astype(np.float64), guess.astype(np.float64)
    out = {
        "out.mse": sk.mean_squared_error(y, p),
        "out.rmse": sk.root_mean_squared_error(y, p),
        "out.mae": sk.mean_absolute_error(y, p),
        "out.mape": sk.mean_absolute_percentage_error(y, p),
        "out.r2": sk.r2_score(y, p),
        "out.explained_variance": sk.explained_variance_score(y, p),
    }
    tensors = {"in.prediction": guess, "in.target": truth, **{key: float(value) for key, value in out.items()}}
    write(name, "regression", {"batches": batches}, tensors)


multiclass("classes_of_7", 331, 7, 3, 5)
multiclass("classes_absent", 50, 6, 2, 3, absent=(1, 5))
multiclass("classes_tied", 120, 4, 2, 4, digits=0)
multiclass("classes_2", 61, 2, 1, 7)
binary("binary_403", 403, 6)
binary("binary_tied", 90, 4, digits=1)
regression("regression_of_301", 301, 4, 1.0, 2.0, 0.7)
regression("regression_far", 257, 5, 1e4, 1.0, 0.5)
regression("regression_biased", 200, 3, 5.0, 1.0, 0.2, bias=300.0)
regression("regression_ordered", 500, 9, 100.0, 30.0, 5.0, ordered=True)
