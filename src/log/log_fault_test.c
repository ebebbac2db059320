#include "log/log_test.h"
int log_fault_tests_run(void) { return 0; }
