"""The matrix products of linear layers: one result, whichever library computes it."""

import pytest
import torch
import torch.nn.functional as F

from raygen.model.products import Linear, LinearFromChannelsFirst, LinearToChannelsFirst, linear, multiplied


@pytest.mark.parametrize("rows", [1, 2, 63, 300])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_that_of_torch(rows, bias):
    torch.manual_seed(rows)
    layer, x = Linear(48, 20, bias=bias), torch.randn(2, rows, 48)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("inference", [True, False])
def test_channels_first_and_back_are_the_same_layers_transposed(dtype, inference):
    torch.manual_seed(0)
    there, back = LinearToChannelsFirst(16, 24).to(dtype), LinearFromChannelsFirst(24, 16).to(dtype)
    x_BTD = torch.randn(3, 7, 16)
    with torch.inference_mode(inference):
        y_CBT = there(x_BTD)
        expected = F.linear(x_BTD.to(dtype), there.weight, there.bias).float()  # the bias is added in float32
        close = {"atol": 1e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.02, "rtol": 0.02}
        torch.testing.assert_close(y_CBT.permute(1, 2, 0), expected, **close)
        returned = F.linear(y_CBT.permute(1, 2, 0).to(dtype), back.weight, back.bias)
        torch.testing.assert_close(back(y_CBT), returned, **close)


def test_the_weights_are_left_as_they_are():
    torch.manual_seed(0)
    layer = LinearToChannelsFirst(8, 8)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    with torch.inference_mode():
        layer(torch.randn(1, 4, 8))
    assert torch.equal(layer.weight, before[0])
    assert torch.equal(layer.bias, before[1])


def test_gradients_flow_where_they_are_wanted():
    layer = LinearToChannelsFirst(8, 6)
    layer(torch.randn(2, 3, 8)).sum().backward()
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((6,), 6.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("inference", [True, False])
def test_a_product_in_half_precision_is_the_product_of_float32_rounded_once(dtype, inference):
    x_DBT, factor_CBT = torch.randn(4, 3, 7), torch.randn(12, 3, 7)
    with torch.inference_mode(inference):
        for factor in (torch.randn(7), factor_CBT[1::3]):
            product = multiplied(x_DBT, factor, dtype)
            assert product.dtype == dtype
            assert torch.equal(product, (x_DBT * factor).to(dtype))


def test_no_rows_give_no_rows():
    assert linear(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
