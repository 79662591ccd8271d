"""What llama.cpp computes with exported files is what torch computes; run where llama-cpp-python is installed."""

import ctypes

import numpy as np
import pytest
import torch

from alpha_umi.formats.load import builtin
from alpha_umi.models.adapter_files import save_adapter
from alpha_umi.models.adapters import AdapterKind
from alpha_umi.models.gguf_files import write_adapter, write_model
from support.adapted_models import THREE, adapter_settings, example, numbers, with_adapters
from support.gguf_models import MODELS, TOKENIZER, saved

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytestmark = pytest.mark.slow
END = builtin("shared").end
WIDTH = 256


class Engine:
    """One model in llama.cpp, on one thread, without the half precision that its fast paths use."""

    def __init__(self, path):
        from llama_cpp import llama_cpp

        self.api = llama_cpp
        self.api.llama_backend_init()
        self._quiet = self.api.llama_log_callback(lambda *_: None)
        self.api.llama_log_set(self._quiet, None)
        self.model = self.api.llama_model_load_from_file(str(path).encode(), self.api.llama_model_default_params())
        settings = self.api.llama_context_default_params()
        settings.n_ctx = settings.n_batch = WIDTH
        settings.n_threads = settings.n_threads_batch = 1
        settings.type_k = settings.type_v = settings.flash_attn_type = 0
        self.context = self.api.llama_init_from_model(self.model, settings)
        self.vocabulary = self.api.llama_model_get_vocab(self.model)
        self.rows = self.api.llama_vocab_n_tokens(self.vocabulary)

    def adapter(self, path):
        return self.api.llama_adapter_lora_init(self.model, str(path).encode())

    def forget(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def use(self, *adapters):
        addresses = [ctypes.cast(adapter, ctypes.c_void_p).value for adapter in adapters]
        function = self.api._lib.llama_set_adapters_lora
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        function(
            self.context,
            (ctypes.c_void_p * len(addresses))(*addresses),
            len(addresses),
            (ctypes.c_float * len(addresses))(*[1.0] * len(addresses)),
        )

    def logits(self, ids):
        """[ids, vocabulary], token by token behind what was read before."""
        read = []
        for token in ids:
            batch = self.api.llama_batch_get_one((self.api.llama_token * 1)(token), 1)
            assert self.api.llama_decode(self.context, batch) == 0
            row = self.api.llama_get_logits_ith(self.context, -1)
            read.append(np.ctypeslib.as_array(row, (self.rows,)).copy())
        return torch.from_numpy(np.array(read, dtype=np.float32).reshape(-1, self.rows))

    def tokens(self, text):
        room, data = (self.api.llama_token * 4096)(), text.encode()
        count = self.api.llama_tokenize(self.vocabulary, data, len(data), room, len(room), True, True)
        return list(room[:count])


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_the_same_logits(name, tmp_path):
    model = saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    ids = torch.randint(12, len(TOKENIZER), (60,), generator=torch.Generator().manual_seed(0)).tolist()
    expected = model(torch.tensor([ids])).logits[0].detach()
    torch.testing.assert_close(Engine(tmp_path / "m.gguf").logits(ids), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", AdapterKind)
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_llama_cpp_computes_the_same_logits_with_every_adapter(name, kind, tmp_path):
    model = saved(MODELS[name], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    settings = adapter_settings(kind)
    adapters, engine = with_adapters(model, settings), Engine(tmp_path / "m.gguf")
    for role in THREE:
        save_adapter(adapters, role, settings, tmp_path / role.value)
        write_adapter(str(tmp_path / role.value), str(tmp_path / "model"), tmp_path / f"{role.value}.gguf")
        ids, _ = example(role, seed=5, length=30)
        acting = numbers(role, kind, ids)
        start = next(at for at, number in enumerate(acting) if number)
        with adapters.select(torch.tensor([acting], dtype=torch.int8)):
            expected = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].detach()
        engine.forget()
        engine.use()
        before = engine.logits(ids[:start])
        engine.use(engine.adapter(tmp_path / f"{role.value}.gguf"))
        torch.testing.assert_close(torch.cat([before, engine.logits(ids[start:])]), expected, atol=1e-4, rtol=1e-4)


def test_llama_cpp_reads_text_as_the_same_ids(tmp_path):
    saved(MODELS["llama"], tmp_path / "model")
    write_model(str(tmp_path / "model"), tmp_path / "m.gguf", end=END)
    engine, draw = Engine(tmp_path / "m.gguf"), np.random.default_rng(0)
    letters = [chr(code) for code in draw.integers(32, 0x2FFF, 4000)]
    texts = ["".join(letters[at : at + 20]) for at in range(0, 4000, 20)]
    texts += ["the planner's  24 degrees", "<|planner|>don't<|call|><|end|>", 'a\n\n{"city": "Zürich"}\t¶', " "]
    for text in texts:
        assert engine.tokens(text) == TOKENIZER.encode(text, add_special_tokens=True), text
