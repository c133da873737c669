_base_ = "../_base_/benchmarks/voc0712.py"
