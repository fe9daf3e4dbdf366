#pragma once
// Every table of the language with its keys (see fields.h).

#include "config/experiment.h"
#include "config/fields.h"

namespace ivory::config {

void keys(Fields& v, Experiment& s);  // of [experiment]
void keys(Fields& v, DataSpec& s);
void keys(Fields& v, VolumeSource& s, bool generated);
void keys(Fields& v, PartSpec& s);
void keys(Fields& v, PhantomSpec& s, size_t named);  // how many volumes the data set names
void keys(Fields& v, ModelSpec& s);                  // those that every composition has
void keys(Fields& v, StageSpec& s);
void keys(Fields& v, ProbeUse& s);
void keys(Fields& v, TrainSpec& s);
void keys(Fields& v, OptimiserSpec& s);
void keys(Fields& v, GroupSpec& s);
void keys(Fields& v, FrozenSpec& s);
void keys(Fields& v, ScheduleSpec& s);
void keys(Fields& v, SliceViewSpec& s);
void keys(Fields& v, CropSpec& s);
void keys(Fields& v, CubeSource& s);
void keys(Fields& v, VolumeViewSpec& s);
void keys(Fields& v, TaskSpec& s);
void keys(Fields& v, ClassSpec& s);
void keys(Fields& v, SplitSpec& s);
void keys(Fields& v, TableSpec& s);
void keys(Fields& v, TableRow& s, const TableSpec& table);
void keys(Fields& v, TableColumn& s, const TableSpec& table);
void keys(Fields& v, HalvingSpec& s);

}  // namespace ivory::config
