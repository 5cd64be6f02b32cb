/* The version of this program, as every door says it; the contract has versions of its own. */
#ifndef OPENSHELL_BASE_VERSION_H
#define OPENSHELL_BASE_VERSION_H

#define OPENSHELL_VERSION "0.0.1"

#endif
