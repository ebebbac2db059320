/* quadrature.c - the nodes of Gauss-Legendre rules: zeros of Legendre polynomials by Newton's
 * method from Tricomi's estimate, weights 2 / ((1 - x²) P'(x)²) (Abramowitz and Stegun 25.4.29). */
#include <math.h>

#include "learn/learn_int.h"

void learn_gauss_legendre(int count, double *nodes, double *weights)
{
    for (int i = 0; i < (count + 1) / 2; i++) {
        double x = cos(M_PI * (i + 0.75) / (count + 0.5)), slope = 1;
        for (int round = 0; round < 8; round++) {
            double before = 0, value = 1;
            for (int k = 1; k <= count; k++) {
                double next = ((2 * k - 1) * x * value - (k - 1) * before) / k;
                before = value, value = next;
            }
            slope = count * (x * value - before) / (x * x - 1);
            x -= value / slope;
        }
        nodes[count - 1 - i] = x;
        nodes[i] = -x;
        weights[i] = weights[count - 1 - i] = 2 / ((1 - x * x) * slope * slope);
    }
}
